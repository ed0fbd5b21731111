package console_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"go.uber.org/goleak"

	"github.com/verifily/verifily-tui/cmd/verifily/internal/console"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func line(s string) func(int) string { return func(int) string { return s } }

func columns(n int) console.Options {
	return console.Options{Columns: func() int { return n }}
}

const erase = "\r\x1b[K"

func shown(s string) string { return "\r" + s + "\x1b[K" }

func TestWithoutTerminalThereAreOnlyLines(t *testing.T) {
	var out, errs bytes.Buffer
	c := console.New(&out, &errs, console.Options{})
	c.Status(line("status"))
	c.Print("one", "two")
	c.Report("wrong")
	c.Print()
	c.Clear()
	assert.Equal(t, "one\ntwo\n", out.String())
	assert.Equal(t, "wrong\n", errs.String())
	assert.Equal(t, "plain", c.Paint(console.Red, "plain"))
	assert.Equal(t, 80, c.Width())
	assert.False(t, c.Live())
}

func TestStatusStaysBelowTheLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var screen bytes.Buffer
		c := console.New(&screen, &screen, columns(40)).Terminal()
		c.Status(line("status"))
		assert.Equal(t, shown("status"), screen.String())

		screen.Reset()
		c.Print("line")
		assert.Equal(t, erase+"line\n", screen.String(), "too soon to draw again")
		time.Sleep(console.RedrawEvery)
		synctest.Wait()
		assert.Equal(t, erase+"line\n"+shown("status"), screen.String())

		screen.Reset()
		fmt.Fprintln(c.Diagnostics(), "level=WARN")
		c.Clear()
		c.Print("end")
		assert.Equal(t, erase+"level=WARN\nend\n", screen.String())
	})
}

func TestStatusIsDrawnTenTimesASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var screen bytes.Buffer
		c := console.New(&screen, io.Discard, columns(40)).Terminal()
		for i := range 999 {
			c.Status(line(fmt.Sprint("step ", i)))
			time.Sleep(time.Millisecond)
		}
		synctest.Wait()
		assert.Equal(t, 10, strings.Count(screen.String(), "step"))
		time.Sleep(console.RedrawEvery)
		synctest.Wait()
		assert.True(t, strings.HasSuffix(screen.String(), shown("step 998")), "the last one is shown in the end")
		c.Clear()
		time.Sleep(time.Second)
		synctest.Wait()
		assert.True(t, strings.HasSuffix(screen.String(), erase), "nothing is drawn after Clear")
	})
}

func TestStatusNeverWraps(t *testing.T) {
	var screen bytes.Buffer
	c := console.New(&screen, io.Discard, columns(10)).Terminal()
	c.Status(func(width int) string {
		assert.Equal(t, 9, width)
		return "0123456789\x1b[2J"
	})
	assert.Equal(t, shown("01234567…"), screen.String())
}

// broken fails from its second write on.
type broken struct{ writes int }

var errGone = errors.New("broken pipe")

func (b *broken) Write(p []byte) (int, error) {
	if b.writes++; b.writes > 1 {
		return 0, errGone
	}
	return len(p), nil
}

func TestReaderThatWentAwayIsLeftAlone(t *testing.T) {
	var errs bytes.Buffer
	out := &broken{}
	c := console.New(out, &errs, console.Options{})
	c.Print("one")
	assert.NoError(t, c.Err())
	for range 5 {
		c.Print("more")
	}
	c.Report("still told")
	assert.ErrorIs(t, c.Err(), errGone)
	assert.Equal(t, 2, out.writes, "the failed write is the last one")
	assert.Equal(t, "still told\n", errs.String())
}
