package batch

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/verifily/verifily-tui/core/engine"
)

// Processes runs every attempt in a process of its own, so that one that is
// killed or runs out of memory takes nothing along, and so that jobs share the
// processors by GOMAXPROCS.
//
// The process gets the attempt as a line of JSON on standard input, followed
// by the words below, a line each; the end of the input means stop, so no
// process outlives the batch. It reports on file descriptor 3.
type Processes struct {
	// Command is the program and arguments that call Serve.
	Command []string
}

// The words that a process understands.
const (
	wordStop       = "stop"
	wordCheckpoint = "checkpoint"
)

// reportsFD is the descriptor that a process reports on.
const reportsFD = 3

// Run implements Runner.
func (p Processes) Run(ctx context.Context, a Attempt, checkpoint <-chan struct{}, abort <-chan struct{}, report func(Message)) Message {
	end, err := p.run(ctx, a, checkpoint, abort, report)
	if err != nil {
		return Message{Kind: MessageEnd, Class: classOther, Text: err.Error()}
	}
	return end
}

func (p Processes) run(ctx context.Context, a Attempt, checkpoint <-chan struct{}, abort <-chan struct{}, report func(Message)) (Message, error) {
	spec, err := json.Marshal(a)
	if err != nil {
		return Message{}, err
	}
	log, err := os.OpenFile(a.Log, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return Message{}, err
	}
	defer log.Close()
	reports, theirs, err := os.Pipe()
	if err != nil {
		return Message{}, err
	}
	defer reports.Close()
	cmd := exec.Command(p.Command[0], p.Command[1:]...)
	cmd.Env = append(os.Environ(), "GOMAXPROCS="+strconv.Itoa(max(a.Threads, 1)))
	if a.GPU >= 0 {
		cmd.Env = append(cmd.Env, "CUDA_VISIBLE_DEVICES="+strconv.Itoa(a.GPU))
	}
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.Stdout, cmd.Stderr = log, log
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return Message{}, errors.Join(err, theirs.Close())
	}
	kills := memoryKills()
	err = cmd.Start()
	_ = theirs.Close() // the process has its own
	if err != nil {
		return Message{}, err
	}
	// A process that is gone does not read its orders; how it ended tells why.
	_, _ = stdin.Write(append(spec, '\n'))

	over := make(chan struct{})
	var orders sync.WaitGroup
	orders.Go(func() { order(ctx, cmd.Process, stdin, checkpoint, abort, over) })
	var end *Message
	lines := bufio.NewScanner(reports)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var m Message
		if json.Unmarshal(lines.Bytes(), &m) != nil {
			continue // torn by the end of the process
		}
		if m.Kind == MessageEnd {
			end = &m
		} else {
			report(m)
		}
	}
	_, _ = io.Copy(io.Discard, reports)
	waitErr := cmd.Wait()
	close(over)
	orders.Wait()
	if info, err := log.Stat(); err == nil && info.Size() == 0 {
		_ = os.Remove(a.Log) // it had nothing to say
	}
	if end != nil {
		return *end, nil
	}
	m := Message{Kind: MessageEnd, Class: classDied, Text: "its process ended: " + fmt.Sprint(waitErr)}
	if waitErr == nil {
		m.Text = "its process ended without a result"
	}
	said := tail(a.Log)
	if killedBy(cmd.ProcessState) == syscall.SIGKILL && memoryKills() > kills || strings.Contains(said, "out of memory") || strings.Contains(said, "cannot allocate memory") {
		m.Class = classMemory
		m.Text = "its process ran out of memory"
	}
	select {
	case <-abort:
		m.Class = classInterrupted
	default:
	}
	return m, nil
}

// order passes on what the process shall do, until it is over.
func order(ctx context.Context, process *os.Process, stdin io.WriteCloser, checkpoint <-chan struct{}, abort <-chan struct{}, over <-chan struct{}) {
	defer stdin.Close()
	stop := ctx.Done()
	for {
		word := ""
		select {
		case <-over:
			return
		case <-abort:
			_ = process.Kill() // it may have ended
			<-over
			return
		case <-stop:
			stop, word = nil, wordStop
		case <-checkpoint:
			word = wordCheckpoint
		}
		_, _ = io.WriteString(stdin, word+"\n") // it may have ended
	}
}

// tail returns the end of a log, where a program says why it dies.
func tail(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	head := make([]byte, 4096)
	n, _ := io.ReadFull(f, head) // a Go program says why before its stacks
	return string(head[:n])
}

// memoryKills counts the processes that the kernel killed for want of memory;
// 0 where it does not tell.
func memoryKills() int {
	total := 0
	for path, key := range map[string]string{"/proc/vmstat": "oom_kill ", "/sys/fs/cgroup/memory.events": "oom_kill "} {
		data, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		for line := range bytes.Lines(data) {
			if rest, ok := bytes.CutPrefix(line, []byte(key)); ok {
				n, _ := strconv.Atoi(string(bytes.TrimSpace(rest)))
				total += n
			}
		}
	}
	return total
}

// Serve is the other side of Processes: it carries out the attempt that stands
// on in and reports to out. It returns when the attempt is over.
func Serve(ctx context.Context, in io.Reader, out io.Writer) error {
	reader := bufio.NewReader(in)
	line, err := reader.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("read attempt: %w", err)
	}
	var a Attempt
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.UseNumber()
	if err := dec.Decode(&a); err != nil {
		return fmt.Errorf("read attempt: %w", err)
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	control := &engine.Control{}
	go func() { // ends with the input, at the latest with the process
		defer stop()
		for words := bufio.NewScanner(reader); words.Scan(); {
			switch words.Text() {
			case wordStop:
				return
			case wordCheckpoint:
				control.Checkpoint()
			}
		}
	}()
	var mu sync.Mutex
	var failed error
	report := func(m Message) {
		data, err := json.Marshal(m)
		mu.Lock()
		defer mu.Unlock()
		if err == nil {
			_, err = out.Write(append(data, '\n'))
		}
		if err != nil && failed == nil {
			failed = err
		}
	}
	report(Do(ctx, a, control, report))
	return failed
}

// ReportsFile is where a process that runs Serve reports.
func ReportsFile() *os.File { return os.NewFile(reportsFD, "reports") }
