package monitor

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/gofrs/flock"

	"github.com/verifily/verifily-tui/runs/canonical"
	"github.com/verifily/verifily-tui/runs/regular"
)

// HistoryName is the file of ticks beside a config.
const HistoryName = "monitor_history.jsonl"

// line is a tick as it stands in the file. Several monitors may watch with one
// config; a tick of the foreground has no monitor.
type line struct {
	Tick
	MonitorID *string `json:"monitor_id"`
}

// encode writes the line compactly, with numbers as the HTTP service does.
func (l line) encode() ([]byte, error) {
	tick, err := canonical.Line(l.Tick)
	if err != nil {
		return nil, err
	}
	monitor, err := json.Marshal(l.MonitorID)
	if err != nil {
		return nil, err
	}
	tick = append(bytes.TrimSuffix(tick, []byte("}")), `, "monitor_id": `...)
	var out bytes.Buffer
	err = json.Compact(&out, append(append(tick, monitor...), '}'))
	return out.Bytes(), err
}

func historyPath(config string) string { return filepath.Join(filepath.Dir(config), HistoryName) }

// appendTick adds a tick to the history beside a config, as one whole line, unless
// it is the last one of its monitor there already.
func appendTick(config string, l line) (err error) {
	path := historyPath(config)
	data, err := l.encode()
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|os.O_APPEND|syscall.O_NONBLOCK, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if err := regular.Check(path, info); err != nil {
		return err
	}
	lock := flock.New(path, flock.SetFlag(os.O_RDONLY|syscall.O_NONBLOCK))
	if err := lock.Lock(); err == nil { // a file system without locks goes without: lines are written whole
		defer func() { err = errors.Join(err, lock.Close()) }()
	}
	last, torn, err := lastOf(f, l.MonitorID)
	if err != nil {
		return err
	}
	if l.MonitorID != nil && last >= l.TickNumber {
		return nil
	}
	if torn { // by a process that was killed: its tick is written again by whoever goes on
		data = append([]byte("\n"), data...)
	}
	if _, err := f.Write(append(data, '\n')); err != nil {
		return err
	}
	return f.Sync()
}

// tailBytes is how much of a history is looked through for the last tick of a
// monitor: some thousand lines.
const tailBytes = 1 << 20

// lastOf finds the number of the last tick of a monitor near the end of a history,
// 0 when there is none, and whether the last line is torn.
func lastOf(f *os.File, monitor *string) (number int, torn bool, err error) {
	info, err := f.Stat()
	if err != nil {
		return 0, false, err
	}
	from := max(0, info.Size()-tailBytes)
	data, err := io.ReadAll(io.NewSectionReader(f, from, info.Size()-from))
	if err != nil {
		return 0, false, err
	}
	for raw := range bytes.Lines(data) {
		var l line
		if json.Unmarshal(raw, &l) == nil && sameMonitor(l.MonitorID, monitor) {
			number = l.TickNumber
		}
	}
	return number, len(data) > 0 && data[len(data)-1] != '\n', nil
}

func sameMonitor(a, b *string) bool { return a == nil && b == nil || a != nil && b != nil && *a == *b }

// readHistory returns the last n ticks of the foreground beside a config, the
// oldest first, and the number of the last one.
func readHistory(config string, n int) (ticks []Tick, last int, err error) {
	f, err := regular.Open(historyPath(config))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("read history: %w", err)
	}
	defer f.Close()
	const longest = 1 << 20 // bytes of a line; a longer one is none of ours
	lines := bufio.NewReaderSize(f, 64<<10)
	for {
		raw, err := lines.ReadBytes('\n')
		var l line
		if len(raw) < longest && json.Unmarshal(raw, &l) == nil && l.MonitorID == nil {
			last = max(last, l.TickNumber)
			if ticks = append(ticks, l.Tick); len(ticks) > n {
				ticks = ticks[1:]
			}
		}
		if errors.Is(err, io.EOF) {
			return ticks, last, nil
		}
		if err != nil {
			return nil, 0, fmt.Errorf("read history: %w", err)
		}
	}
}
