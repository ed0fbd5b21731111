//go:build linux

package main

import (
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// soakKeys are what a hand that hits keys at random hits: all that move, open,
// ask and type, but none that leave, start trainings or write files at a path
// that was typed.
var soakKeys = append(strings.Split("jjjjkkkkhlgG123456712345671234567bcDsSTypPunvwmLXoxX[]+-<>0/:? rtaf", ""),
	"\r", "\r", "\r", "\x1b", "\x1b", "\x1b", "\t", "\x1b[Z", "\x1b[A", "\x1b[B", "\x1b[C", "\x1b[D", "\x1b[5~", "\x1b[6~", "\x7f", "\x15",
	"\x1b[<0;10;5M", "\x1b[<64;10;5M", "\x1b[<65;10;5M", "status:", "human")

// TestSoak hits keys at random and resizes while runs are being written, for
// VERIFILY_SOAK, or else 2s, 15s with VERIFILY_SLOW_TESTS. The program neither
// crashes nor grows. It ends where the keys happen to spell that in the palette,
// and is opened again.
func TestSoak(t *testing.T) {
	long := 2 * time.Second
	if os.Getenv("VERIFILY_SLOW_TESTS") != "" {
		long = 15 * time.Second
	}
	if s := os.Getenv("VERIFILY_SOAK"); s != "" {
		var err error
		long, err = time.ParseDuration(s)
		require.NoError(t, err)
	}
	t.Chdir(t.TempDir())
	evaluated(t, "human-v2", 1, 4)
	evaluated(t, "human+synthetic", 2, 8)
	evaluated(t, "cold-start", 3, 2)
	writeLive(t, 5, 100*time.Millisecond)
	term := openTerminal(t, 120, 40, "--runs-dir", "runs")
	term.see("8 runs")
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))

	const pace = 10 * time.Millisecond
	warm := min(long/3, 2*time.Minute)
	tick := time.NewTicker(pace)
	defer tick.Stop()
	begun, keys, early, left := time.Now(), 0, 0, 0
	opened, last := begun, make([]string, 64) // the last keys
	for now := range tick.C {
		if now.Sub(begun) > long {
			break
		}
		if early == 0 && now.Sub(opened) > warm {
			early = resident(t, term.cmd.Process.Pid)
		}
		if random.IntN(200) == 0 {
			w, h := uint16(30+random.IntN(200)), uint16(8+random.IntN(60))
			term.mu.Lock()
			term.screen.Resize(int(w), int(h))
			term.mu.Unlock()
			require.NoError(t, pty.Setsize(term.pty, &pty.Winsize{Cols: w, Rows: h}))
		}
		key := soakKeys[random.IntN(len(soakKeys))]
		last[keys%len(last)] = key
		keys++
		_, err := io.WriteString(term.pty, key) // fails where the program has ended
		open := err == nil
		if open {
			select {
			case _, open = <-term.changed:
			default:
			}
		}
		if !open {
			recent := append(slices.Clone(last[keys%len(last):]), last[:keys%len(last)]...)
			// "status:" opens the palette too, where it is not typed into a filter.
			palette := slices.ContainsFunc(recent, func(key string) bool { return strings.HasSuffix(key, ":") })
			require.True(t, palette, "the program ended after %d keys, the last %q:\n%s", keys, recent, term.text())
			term.leave() // of its own accord
			term.close()
			left++
			term = openTerminal(t, 120, 40, "--runs-dir", "runs")
			term.see("8 runs")
			opened, early = time.Now(), 0
		}
	}
	if early > 0 {
		late := resident(t, term.cmd.Process.Pid)
		t.Logf("%d keys; left %d times; resident memory %d MB after %v, %d MB after %v", keys, left, early>>20, warm, late>>20, time.Since(opened))
		assert.Less(t, late, early+early/2+64<<20, "memory grew")
	}

	term.mu.Lock()
	term.screen.Resize(120, 40)
	term.mu.Unlock()
	require.NoError(t, pty.Setsize(term.pty, &pty.Winsize{Cols: 120, Rows: 40}))
	// Out of whatever is open, and out of the program. Keys that were hit before
	// may still wait to be read, and an escape that is followed at once by a key is
	// another key.
	open := true
	for tries := 0; open; tries++ {
		require.Less(t, tries, 200, "it does not end:\n%s", term.text())
		for _, key := range []string{"\x1b", "1", "q"} {
			_, _ = io.WriteString(term.pty, key) // fails where the program has ended
			for range 10 {
				<-tick.C
			}
		}
		select {
		case _, open = <-term.changed:
		default:
		}
	}
	term.leave()
}

// resident returns how much memory a process has, in bytes.
func resident(t testing.TB, pid int) int {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	require.NoError(t, err)
	pages, err := strconv.Atoi(strings.Fields(string(data))[1])
	require.NoError(t, err)
	return pages * os.Getpagesize()
}
