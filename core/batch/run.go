// Package batch runs many jobs that a plan describes: it expands matrices,
// gives every job a place on a device, and brings the results together.
//
// Nothing is lost. Everything a batch knows stands in its folder, in a journal
// whose lines are on disk before what they announce goes on. A second start of
// the same plan file goes on where the first stopped: what is complete, by
// config and data, is not repeated, and what was interrupted resumes from its
// checkpoint. One process at a time works on a batch.
//
// Each job runs in a process of its own (Processes), so one that is killed or
// runs out of memory takes nothing along. Events are delivered in order from
// one goroutine, and Run returns only after everything it started has ended.
package batch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"time"

	"github.com/verifily/verifily-tui/core/fault"
)

// Options says how to run a plan. The zero value of a field stands for the
// customary choice.
type Options struct {
	Runner Runner // required
	// Fresh starts a new batch although there is one of this plan.
	Fresh bool
	// RetryFailed tries jobs again that failed, in an earlier start, in a way
	// that does not pass.
	RetryFailed bool
	// Every is the time between progress events; 0: none are sent.
	Every time.Duration
	// Checkpoint asks all running jobs for a checkpoint.
	Checkpoint <-chan struct{}
	// Abort, when closed, ends all jobs at once, without a checkpoint.
	Abort <-chan struct{}
	// Events is told what happens; may be nil.
	Events func(Event)
	// GPUs lists the GPUs that may be used, by index.
	GPUs []int
	// Cores is the number of processors to share; 0 means all.
	Cores int
	// Now tells the time; nil means time.Now.
	Now func() time.Time
	// FreeDisk tells how many bytes are free where a folder is; nil asks the
	// system.
	FreeDisk func(dir string) (int64, error)
}

// diskEvery is the time between two looks at the free space.
const diskEvery = 5 * time.Second

// stopEvery is the time between two looks for a request to stop.
const stopEvery = time.Second

// state is a job of a batch that runs.
type state struct {
	*Job
	status  Status
	earlier bool // it was over before this start
	run     string
	known   string // the run that the journal names
	results string // folder of eval_results.json
	text    string // why it failed
	class   class
	seconds float64 // of all attempts that the journal has
	began   time.Time
	attempt int // from 1, of this start
	halved  int
	changed bool // its data, while the batch ran
	gpu     int
	work    *work
	// waits counts the jobs that it comes after and that are not complete,
	// blocker is one of them that never will be, next are those after it.
	waits   int
	blocker string
	next    []*state
	// settled says that the history was asked; orders takes checkpoint requests.
	settled  bool
	orders   chan struct{}
	progress Progress
}

// report is a message of a job, as the scheduler gets it.
type report struct {
	job int
	Message
}

// scheduler is one call of Run.
type scheduler struct {
	plan    *Plan
	opt     Options
	folder  *folder
	journal *journal
	history *history
	slots   *slots
	jobs    []*state
	byName  map[string]*state
	data    map[string]dataID // of training jobs, by dataKey
	reports chan report
	running int
	cancel  context.CancelFunc
	attempt context.Context // of all attempts
	stopped string          // why the batch is being stopped
	failure bool            // it is a failure of a job
	err     error           // the first error of writing the journal
	asked   map[string]int  // how many jobs have the same work, by identity
}

// Run runs a plan to its end, or until ctx ends: then every job saves a
// checkpoint and the batch can be started again. The error is of the plan or
// the folder; what became of the jobs is in the summary, with its exit code.
func Run(ctx context.Context, plan *Plan, opt Options) (sum *Summary, err error) {
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.FreeDisk == nil {
		opt.FreeDisk = freeBytes
	}
	if opt.Cores == 0 {
		opt.Cores = runtime.GOMAXPROCS(0)
	}
	s := &scheduler{plan: plan, opt: opt, byName: map[string]*state{}, asked: map[string]int{},
		reports: make(chan report)}
	if s.folder, err = openFolder(plan.RunsDir, plan.Path, opt.Fresh, opt.Now); err != nil {
		return nil, err
	}
	defer func() {
		if gone := s.folder.close(); err == nil {
			err = gone // else the first error says why
		}
	}()
	if err := s.open(ctx); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.journal.close()) }()
	s.attempt, s.cancel = context.WithCancel(context.Background())
	defer s.cancel()
	s.loop(ctx)
	return s.finish(ctx)
}

// open reads what earlier starts left and says what is new.
func (s *scheduler) open(ctx context.Context) error {
	var records []record
	var err error
	if s.journal, records, err = openJournal(s.folder.path(journalFile), s.opt.Now); err != nil {
		return folderError(s.folder.path(journalFile), err)
	}
	s.history = replay(records)
	for i := range s.plan.Jobs {
		st := &state{Job: &s.plan.Jobs[i], status: Waiting, gpu: noGPU}
		s.jobs = append(s.jobs, st)
		s.byName[st.Name] = st
	}
	for _, st := range s.jobs {
		for _, name := range st.After {
			st.waits++
			before := s.byName[name]
			before.next = append(before.next, st)
		}
	}
	s.slots = newSlots(s.plan.Slots, s.opt.GPUs, s.opt.Cores, len(s.jobs))
	s.emit(Event{Kind: EventBatch, Batch: s.folder.dir, Jobs: len(s.jobs), Resumed: s.folder.old})
	if r := s.folder.replaced; r != nil {
		s.note("", fmt.Sprintf("process %d on %s, which had this batch, is gone: going on", r.PID, r.Host))
	}
	if s.data, err = s.identifyData(ctx); err == nil {
		err = s.compareWithBefore()
	}
	if err == nil {
		err = s.folder.keepPlan(s.plan.Source)
	}
	if err == nil {
		err = s.journal.append(record{Kind: recordOpen, Plan: hashOf(s.plan.Source)})
	}
	if err != nil {
		err = errors.Join(err, s.journal.close())
		var typed fault.TrainError
		if ctx.Err() == nil && !errors.As(err, &typed) {
			err = folderError(s.folder.dir, err)
		}
	}
	return err
}

// loop starts jobs and hears reports until nothing is left to do.
func (s *scheduler) loop(ctx context.Context) {
	ticks := func(every time.Duration) (<-chan time.Time, func()) {
		if every <= 0 {
			return nil, func() {}
		}
		t := time.NewTicker(every)
		return t.C, t.Stop
	}
	progress, end := ticks(s.opt.Every)
	defer end()
	diskCheck := time.Duration(0)
	if s.plan.Stop.MinFreeDisk > 0 {
		diskCheck = diskEvery
	}
	disk, end := ticks(diskCheck)
	defer end()
	deadline, end := ticks(s.plan.Stop.After)
	defer end()
	asked, end := ticks(stopEvery)
	defer end()
	done, abort := ctx.Done(), s.opt.Abort
	if ctx.Err() != nil {
		s.stop("interrupted", false)
	}
	for s.startReady(); s.running > 0; s.startReady() {
		select {
		case r := <-s.reports:
			s.hear(r)
		case <-done:
			done = nil
			s.stop("interrupted", false)
		case <-abort:
			abort = nil
			s.stop("interrupted", false)
		case <-s.opt.Checkpoint:
			s.checkpointAll()
		case <-progress:
			s.tellProgress()
		case <-disk:
			s.checkDisk()
		case <-asked:
			if s.folder.takeStop() {
				s.stop("asked for from elsewhere", false)
			}
		case <-deadline:
			s.stop(fmt.Sprintf("%v are over (stop.after)", s.plan.Stop.After), false)
		}
	}
}

// startReady starts jobs while there are places for them.
func (s *scheduler) startReady() {
	for again := true; again && s.stopped == ""; {
		again = false
		for i, st := range s.jobs {
			if st.status != Waiting || s.stopped != "" {
				continue
			}
			ready := st.waits == 0
			switch {
			case st.blocker != "":
				st.text = "it comes after " + st.blocker + ", which did not complete"
				s.end(st, Skipped)
				again = true
			case ready && !st.settled:
				st.settled = true
				s.settle(st)
				again = again || st.status.Over()
			}
			if ready && st.status == Waiting {
				s.start(i, st)
			}
		}
	}
}

// start gives a job a place and begins an attempt, if there is a free one.
func (s *scheduler) start(i int, st *state) {
	device := "cpu"
	if st.work.config != nil {
		device = st.work.config.Compute.Device
	}
	gpu, ok := s.slots.take(device)
	if !ok {
		return
	}
	if !s.checkDisk() {
		s.slots.free(gpu)
		return
	}
	st.attempt++
	s.write(record{Kind: recordStart, Job: st.Name, Key: st.work.key, Data: st.work.data, Attempt: st.attempt, Halved: st.halved})
	if s.stopped != "" {
		s.slots.free(gpu)
		return
	}
	st.status, st.gpu, st.began = Running, gpu, s.opt.Now()
	st.orders = make(chan struct{}, 1)
	st.progress = Progress{Job: st.Name}
	a := st.work.attempt(st, s.folder.info.BatchID)
	a.GPU, a.Threads = gpu, s.slots.threads
	a.Log = filepath.Join(s.folder.dir, jobsDir, st.Name+".log")
	ev := Event{Kind: EventStart, Job: st.Name, Attempt: st.attempt, Device: "cpu", Threads: a.Threads, Resumed: a.Resume != "", Run: a.Resume}
	if gpu != noGPU {
		ev.Device = fmt.Sprintf("cuda:%d", gpu)
	}
	s.emit(ev)
	s.running++
	w, halved, orders, more := st.work, st.halved, st.orders, st.attempt <= s.plan.Retries
	go func() { // its end message is waited for by loop
		trained := false
		tell := func(m Message) {
			trained = trained || m.Kind == MessagePredict
			s.reports <- report{i, m}
		}
		end := s.opt.Runner.Run(s.attempt, a, orders, s.opt.Abort, tell)
		if end.Class == classMemory && more && !trained {
			end.halve = s.relief(w, halved, a, orders)
		}
		end.trained = trained || w.config == nil
		tell(end)
	}()
}

// hear takes in what an attempt reports.
func (s *scheduler) hear(r report) {
	st := s.jobs[r.job]
	m := r.Message
	if named := s.below(m.Run); m.Kind == MessageRun && named != st.known {
		st.run, st.known = s.within(named), named
		s.checkData(st)
		s.write(record{Kind: recordRun, Job: st.Name, Run: named})
	}
	if m.Kind == MessageEnd {
		s.running--
		s.slots.free(st.gpu)
		s.attemptEnded(st, m)
		return
	}
	st.progress.note(m, time.Now())
	dir := ""
	if m.Run != "" {
		dir = st.run
	}
	s.emit(Event{Kind: m.Kind, Job: st.Name, Run: dir, Step: m.Step, TotalSteps: m.TotalSteps, Loss: m.Loss, NonFinite: m.NonFinite,
		TokensPerSecond: m.TokensPerSecond, SecondsLeft: secondsLeft(m, &st.progress), Done: m.Done, Total: m.Total, Text: m.Text, Warning: m.Warning})
}

func secondsLeft(m Message, p *Progress) float64 {
	if m.Kind != MessageStep {
		return 0
	}
	return p.SecondsLeft
}

// attemptEnded decides what comes after an attempt.
func (s *scheduler) attemptEnded(st *state, m Message) {
	st.seconds += s.opt.Now().Sub(st.began).Seconds()
	st.text, st.class = m.Text, m.Class
	st.results = cmp.Or(s.within(s.below(m.Results)), st.results)
	if m.Class == classInterrupted && s.stopped == "" {
		m.Class = classDied // someone stopped this job alone
	}
	switch m.Class {
	case classComplete:
		if m.Run != "" {
			st.run = s.within(s.below(m.Run))
		}
		s.end(st, Completed)
		return
	case classInterrupted:
		s.end(st, Interrupted)
		return
	case classSpace:
		s.end(st, Interrupted)
		s.stop("the disk is full", false)
		return
	}
	if s.stopped != "" && (m.Class == classDied || m.Class == classMemory) {
		s.end(st, Interrupted)
		return
	}
	if s.retry(st, m) {
		return
	}
	switch {
	case m.Class == classMemory && m.trained:
		st.text += "; " + inEvaluation
	case m.Class == classMemory && m.halve == 0 && st.attempt <= s.plan.Retries:
		st.text += "; " + noRelief
	}
	s.end(st, Failed)
	if s.plan.Stop.OnFailure {
		s.stop(st.Name+" failed (stop.on_failure)", true)
	}
}

// end closes a job for this start.
func (s *scheduler) end(st *state, status Status) {
	st.status = status
	if status == Completed {
		st.text = ""
	}
	for _, next := range st.next {
		if status == Completed {
			next.waits--
		} else {
			next.blocker = cmp.Or(next.blocker, st.Name)
		}
	}
	switch {
	case status == Skipped:
		s.write(record{Kind: recordSkip, Job: st.Name, Error: st.text})
	case st.earlier:
		s.writeBy(s.journal.add, record{Kind: recordKeep, Job: st.Name, Status: status, Error: st.text, Run: s.below(st.run), Seconds: st.seconds})
	default:
		s.write(record{Kind: recordEnd, Job: st.Name, Status: status, Class: st.class, Error: st.text, Run: s.below(st.run),
			Results: s.below(st.results), Halved: st.halved, Attempt: st.attempt, Seconds: st.seconds})
	}
	s.emit(Event{Kind: EventEnd, Job: st.Name, Status: status, Run: st.run, Seconds: st.seconds, Text: st.text, Earlier: st.earlier})
}

// stop asks all jobs to save and end, and starts no more.
func (s *scheduler) stop(reason string, failure bool) {
	if s.stopped != "" {
		return
	}
	s.stopped, s.failure = reason, failure
	s.emit(Event{Kind: EventStopping, Text: reason})
	s.write(record{Kind: recordStop, Reason: reason})
	s.cancel()
}

func (s *scheduler) checkpointAll() {
	for _, st := range s.jobs {
		if st.status == Running {
			select {
			case st.orders <- struct{}{}:
			default: // it was asked already
			}
		}
	}
	s.note("", "every running job saves a checkpoint")
}

// checkDisk stops the batch when the disk is nearly full.
func (s *scheduler) checkDisk() bool {
	least := s.plan.Stop.MinFreeDisk
	if least == 0 {
		return true
	}
	free, err := s.opt.FreeDisk(s.plan.RunsDir)
	if err == nil && free < least {
		s.stop(fmt.Sprintf("%s are free, less than stop.min_free_disk %s", formatBytes(free), formatBytes(least)), false)
		return false
	}
	return true
}

func (s *scheduler) tellProgress() {
	ev := Event{Kind: EventProgress, Counts: s.counts()}
	for _, st := range s.jobs {
		if st.status == Running {
			ev.Running = append(ev.Running, st.progress)
		}
	}
	s.emit(ev)
}

func (s *scheduler) counts() map[Status]int {
	out := map[Status]int{}
	for _, st := range s.jobs {
		out[st.status]++
	}
	return out
}

// write adds to the journal. Without a journal nothing may go on: the jobs are
// asked to save and end.
func (s *scheduler) write(r record) { s.writeBy(s.journal.append, r) }

func (s *scheduler) writeBy(write func(record) error, r record) {
	if s.err != nil {
		return
	}
	if err := write(r); err != nil {
		s.err = fmt.Errorf("write journal of %s: %w", s.folder.dir, err)
		s.stop(s.err.Error(), false)
	}
}

func (s *scheduler) note(job, text string) { s.emit(Event{Kind: EventNote, Job: job, Text: text}) }

func (s *scheduler) emit(ev Event) {
	if s.opt.Events != nil {
		ev.Time = s.opt.Now().UTC().Format("2006-01-02T15:04:05.000Z")
		s.opt.Events(ev)
	}
}
