// Package core is what the product does: train, evaluate, and - as it grows -
// compare, reproduce, retrain, decide and serve. It has no screen and no flags
// and never ends the process.
//
// Every error that a user can cause is one of the typed errors here, with the
// place, the reason and a hint. What a call writes is whole or absent: a run
// that could not start leaves nothing, and only a run that is finished says so.
package core

import "github.com/verifily/verifily-tui/core/fault"

// VerifilyTrainError is what all typed errors of this package have in common.
type VerifilyTrainError = fault.TrainError

// The typed errors. Each is returned as a pointer.
type (
	// ConfigError: the configuration or the arguments are wrong.
	ConfigError = fault.ConfigError
	// DataError: the data set or one of its rows is wrong.
	DataError = fault.DataError
	// TrainingError: training could not start, go on or be resumed.
	TrainingError = fault.TrainingError
	// EvalError: evaluation could not be done.
	EvalError = fault.EvalError
	// ReproduceError: a run could not be verified or repeated.
	ReproduceError = fault.ReproduceError
)
