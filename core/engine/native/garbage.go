package native

import (
	"os"
	"runtime/debug"
	"sync"
)

// tightPercent is how much garbage may gather beside what is in use before the
// collector runs, in percent. A model's memory is a few large slices without
// pointers, which cost the collector nothing to look at, and at the usual 100
// percent as much garbage would gather as the model is large.
const tightPercent = 15

// collector is the process's setting, shared by all that train or predict.
var collector struct {
	sync.Mutex
	users, before int
}

// tightHeap keeps garbage low until release is called. Who set GOGC has
// decided otherwise.
func tightHeap() (release func()) {
	if os.Getenv("GOGC") != "" {
		return func() {}
	}
	collector.Lock()
	defer collector.Unlock()
	if collector.users++; collector.users == 1 {
		collector.before = debug.SetGCPercent(tightPercent)
	}
	return func() {
		collector.Lock()
		defer collector.Unlock()
		if collector.users--; collector.users == 0 {
			debug.SetGCPercent(collector.before)
		}
	}
}
