//go:build linux

package main

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core/batch"
)

// login is a way to a shell on a machine.
type login interface {
	// start runs a command line with a terminal.
	start(t *testing.T, command string) *session
	// cut ends a session as a broken line does: nobody says goodbye.
	cut(t *testing.T, s *session)
}

// session is a program with a terminal.
type session struct {
	cmd    *exec.Cmd
	screen *os.File
	seen   string
}

// readTo reads up to a text.
func (s *session) readTo(t *testing.T, text string) {
	t.Helper()
	for buf := make([]byte, 4096); !strings.Contains(s.seen, text); {
		n, err := s.screen.Read(buf)
		s.seen += string(buf[:n])
		require.NoError(t, err, "%q does not come, but:\n%s", text, s.seen)
	}
}

// end reads the rest and returns the exit code.
func (s *session) end(t *testing.T) int {
	t.Helper()
	for buf := make([]byte, 4096); ; {
		n, err := s.screen.Read(buf)
		s.seen += string(buf[:n])
		if err != nil {
			break // the terminal is gone with the program
		}
	}
	_ = s.cmd.Wait() // the state says how it ended
	return s.cmd.ProcessState.ExitCode()
}

func open(t *testing.T, cmd *exec.Cmd) *session {
	t.Helper()
	cmd.Env = append(os.Environ(), asProgram+"=1", "TERM=xterm")
	screen, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 24, Cols: 80})
	require.NoError(t, err)
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it has ended, unless the test failed
		_ = screen.Close()
	})
	return &session{cmd: cmd, screen: screen}
}

// console is a terminal of this machine.
type console struct{}

func (console) start(t *testing.T, command string) *session {
	return open(t, exec.Command("/bin/sh", "-c", "exec "+command))
}

func (console) cut(t *testing.T, s *session) { require.NoError(t, s.screen.Close()) }

// server is a real sshd on the loopback interface, with keys of its own.
type server struct {
	process *exec.Cmd
	args    []string // of ssh
	dir     string   // where commands run
}

// sshd is where Debian's package openssh-server puts the server; it must be
// started by its absolute path.
const sshd = "/usr/sbin/sshd"

func newServer(t *testing.T, workDir string) *server {
	t.Helper()
	_, err := os.Stat(sshd)
	require.NoError(t, err, "the test needs the package openssh-server: apt-get install -y openssh-server")
	_, err = exec.LookPath("ssh")
	require.NoError(t, err, "the test needs the package openssh-client: apt-get install -y openssh-client")
	me, err := user.Current()
	require.NoError(t, err)
	if me.Uid == "0" { // the server gives up its privileges in there
		require.NoError(t, os.MkdirAll("/run/sshd", 0o755))
	}
	dir := t.TempDir()
	for _, key := range []string{"host_key", "client_key"} {
		out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(dir, key)).CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
	public, err := os.ReadFile(filepath.Join(dir, "client_key.pub"))
	require.NoError(t, err)
	port := freePort(t)
	for name, content := range map[string]string{
		"authorized_keys": string(public),
		"sshd_config": fmt.Sprintf("ListenAddress 127.0.0.1:%s\nHostKey %s/host_key\nAuthorizedKeysFile %[2]s/authorized_keys\nPidFile none\nUsePAM no\n"+
			"StrictModes no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin yes\nPrintMotd no\nLogLevel ERROR\n", port, dir),
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600))
	}
	s := &server{dir: workDir, args: []string{"-tt", "-F", "none", "-p", port, "-i", filepath.Join(dir, "client_key"), "-o", "IdentitiesOnly=yes",
		"-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=" + filepath.Join(dir, "known_hosts"),
		"-o", "LogLevel=ERROR", me.Username + "@127.0.0.1"}}
	s.process = exec.Command(sshd, "-D", "-e", "-f", filepath.Join(dir, "sshd_config"))
	var errs bytes.Buffer
	s.process.Stderr = &errs
	require.NoError(t, s.process.Start())
	ended := make(chan struct{})
	go func() { _ = s.process.Wait(); close(ended) }()
	t.Cleanup(func() {
		_ = s.process.Process.Kill()
		<-ended
	})
	for { // it listens soon, or ends
		c, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err == nil {
			line, err := bufio.NewReader(c).ReadString('\n')
			require.NoError(t, err)
			require.Contains(t, line, "SSH-2.0")
			require.NoError(t, c.Close())
			return s
		}
		select {
		case <-ended:
			require.Fail(t, "sshd does not start", "%s", &errs)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	require.NoError(t, err)
	return port
}

func (s *server) start(t *testing.T, command string) *session {
	return open(t, exec.Command("ssh", append(slices.Clone(s.args), fmt.Sprintf("cd %q && %s=1 exec %s", s.dir, asProgram, command))...))
}

// cut kills the client and the process of the server that serves it.
func (s *server) cut(t *testing.T, c *session) {
	t.Helper()
	require.NoError(t, c.cmd.Process.Kill())
	_ = c.cmd.Wait() // it was killed
	for _, pid := range serving(t, s.process.Process.Pid) {
		_ = syscall.Kill(pid, syscall.SIGKILL) // it may have noticed already
	}
}

// serving lists the processes of the server below a process, not what they
// started for users.
func serving(t *testing.T, pid int) []int {
	t.Helper()
	files, err := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/task/*/children")
	require.NoError(t, err)
	var out []int
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		for _, field := range strings.Fields(string(data)) {
			child, err := strconv.Atoi(field)
			require.NoError(t, err)
			if name, err := os.ReadFile("/proc/" + field + "/comm"); err == nil && strings.HasPrefix(string(name), "sshd") {
				out = append(append(out, serving(t, child)...), child)
			}
		}
	}
	return out
}

// TestConnectionThatIsCut: whoever started a batch is gone without a word - a
// terminal that hangs up, and, where slow tests are asked for, an ssh
// connection of which both ends are killed. The batch goes on, and is followed
// to its end from another login.
func TestConnectionThatIsCut(t *testing.T) {
	logins := map[string]func(t *testing.T, dir string) login{"terminal": func(*testing.T, string) login { return console{} }}
	if os.Getenv(slowTests) != "" {
		logins["ssh"] = func(t *testing.T, dir string) login { return newServer(t, dir) }
	}
	program, err := filepath.Abs(os.Args[0])
	require.NoError(t, err)
	for name, connect := range logins {
		for how, flags := range map[string]string{"in front": "", "in the background": " --detach"} {
			t.Run(name+", "+how, func(t *testing.T) {
				dir := example(t, strings.ReplaceAll(longPlan, "15", "45"))
				machine := connect(t, dir)
				s := machine.start(t, program+" --batch plan.yaml"+flags)
				if flags == "" {
					s.readTo(t, "..] a step ") // bars are drawn
				} else {
					s.readTo(t, "batch follow runs/batch_")
				}
				found, err := batch.Find("", "runs")
				require.NoError(t, err)
				look, err := batch.Open(found)
				require.NoError(t, err)
				require.NotNil(t, look.Holder)
				t.Cleanup(func() { _ = syscall.Kill(look.Holder.PID, syscall.SIGKILL) }) // it has ended, unless the test failed
				machine.cut(t, s)

				again, err := batch.Open(found)
				require.NoError(t, err)
				require.Equal(t, batch.PhaseRunning, again.Phase, "it goes on")
				assert.Equal(t, look.Holder.PID, again.Holder.PID)
				second := machine.start(t, program+" batch follow")
				assert.Zero(t, second.end(t), second.seen)
				for _, want := range []string{"a: completed", "b: completed", "c: completed", "exit 0", "summary: "} {
					assert.Contains(t, second.seen, want)
				}
				assert.NotContains(t, second.seen, "interrupted")
				last, err := batch.Open(found)
				require.NoError(t, err)
				assert.Equal(t, batch.PhaseOver, last.Phase)
			})
		}
	}
}
