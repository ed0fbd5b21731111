// Package runs is the run directory: its files as Go types, the writer, the
// readers, a store that lists many runs and a watcher that tells of changes.
// Whatever trains and whatever looks meet in these files alone, so all that a
// screen shows can be read from disk, after a crash too.
//
// # Writing
//
// A new run appears whole: its folder is hidden until it holds what the run
// starts with.
//
// One Writer owns a run: it holds an exclusive lock from Create or Reopen to
// Finish or Close, and a heartbeat file tells machines that do not see the
// lock. Every file is whole or absent, except train_log.jsonl, which grows by
// one write call a line; a last line without its newline is torn, readers
// leave it out and Reopen cuts it off.
//
// # Completion
//
// Finish with StatusCompleted works out the final bytes of run_meta.json,
// hashes every file of the run and those bytes, writes hashes.json, and then,
// as the last write, run_meta.json. So status "completed" implies that
// everything is in place and on disk, and hashes.json covers run_meta.json
// too. After a crash in between run_meta.json still says "running", the run
// reads as interrupted, and Reopen removes the early hashes.json.
//
// hashes.json covers all regular files except itself, names that start with a
// dot, and what may change or go afterwards: checkpoints/, decision/, review/.
// eval/ may change too, but is covered, as it stands at completion: a later
// Evaluation rewrites eval/ and then the entries for eval/ and the chain hash,
// nothing else (RefreshEval). A crash between the two leaves entries for eval/
// that do not match, and evaluating again mends them. Folders below eval/ hold
// evaluations of other data than the run's own; readers of a run do not look
// there. Whoever changes hashes.json of a completed run holds LockSeal.
//
// The lock files are no content. That of the writer goes with completion, that
// of the seal when it is given up, so a completed run has none.
//
// # Reading
//
// Readers open regular files only, and bound what they read whole: a pipe or a
// device in the place of a file is an error, never something to wait for.
// Otherwise they accept what older and foreign writers leave: evaluation
// results at the top or with flat slices, NaN in JSON, fields of a wrong type,
// hash values typed by hand, output folders of the Hugging Face Trainer. What
// had to be passed over is listed by Oddities. Text is handed on as it is: it
// is data, and must be made safe before it reaches a terminal.
//
// JSON has no NaN and no infinity. Where a number of a run is one - a diverged
// loss - the file has null and names the value under "non_finite", an addition
// to the format; readers of log lines and predictions give the value back.
package runs
