// SPDX-License-Identifier: Apache-2.0

// The whole life of a worker in plain Go: works for COMPONENT while the daemon at SOCKET lets it lead.
//
//	worker SOCKET COMPONENT
//
// The work is yours, where the comments have an ellipsis; before whatever only a leader may do it asks valid().
// ../python/worker.py is the same in Python. Each line it hears (<) and says (>) goes to standard output, with the
// time of CLOCK_BOOTTIME in nanoseconds.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

const clockBoottime = 7

func now() int64 {
	var ts syscall.Timespec
	syscall.Syscall(syscall.SYS_CLOCK_GETTIME, clockBoottime, uintptr(unsafe.Pointer(&ts)), 0)
	return ts.Nano()
}

func note(mark, text string) {
	fmt.Printf("%d %s %s\n", now(), mark, text)
}

// What we hold: term 0 is nothing; a term is ours until the deadline, connected or not.
type worker struct {
	component string
	term      uint64
	deadline  int64
	daemon    net.Conn
}

func (w *worker) valid() bool {
	return w.term != 0 && now() < w.deadline
}

func (w *worker) say(text string) {
	note(">", text)
	fmt.Fprintln(w.daemon, text) // where it fails, reading finds the end: until then there may be something to hear
}

// The work ends without a word from the daemon: …at once.
func (w *worker) over() {
	note(">", fmt.Sprintf("over component=%s term=%d", w.component, w.term))
	w.term = 0
}

func (w *worker) join() {
	if w.term == 0 {
		w.say("join component=" + w.component)
		return
	}
	w.say(fmt.Sprintf("join component=%s term=%d", w.component, w.term))
	// Again: the daemon may have died before it heard that.
	w.say(fmt.Sprintf("started component=%s term=%d", w.component, w.term))
}

func (w *worker) take(line string) {
	note("<", line)
	words := strings.Fields(line)
	value := map[string]string{}
	for _, field := range words[1:] {
		key, text, _ := strings.Cut(field, "=")
		value[key] = text
	}
	switch {
	case words[0] == "granted":
		w.term, _ = strconv.ParseUint(value["term"], 10, 64)
		w.deadline, _ = strconv.ParseInt(value["deadline"], 10, 64)
		// …once the work runs
		w.say(fmt.Sprintf("started component=%s term=%d", w.component, w.term))
	case words[0] == "extended":
		w.deadline, _ = strconv.ParseInt(value["deadline"], 10, 64)
	case words[0] == "revoked":
		// …once the work has ended
		w.say(fmt.Sprintf("stopped component=%s term=%s", w.component, value["term"]))
		w.term = 0
	case value["code"] == "stale" && w.term != 0: // what we came back with is over
		w.over()
		w.join()
	}
}

// When to look at the clock: Go's timers stand still in suspend and the clock does not, so it is every second.
func (w *worker) patience() time.Time {
	if w.term == 0 {
		return time.Time{}
	}
	left := time.Duration(w.deadline - now())
	return time.Now().Add(min(max(left, time.Microsecond), time.Second))
}

func min(a, b time.Duration) time.Duration {
	if a < b {
		return a
	}
	return b
}

func max(a, b time.Duration) time.Duration {
	if a > b {
		return a
	}
	return b
}

// One connection's life.
func (w *worker) lead(path string) {
	daemon, err := net.Dial("unix", path)
	if err != nil { // nobody there
		time.Sleep(10 * time.Millisecond)
		return
	}
	defer daemon.Close()
	w.daemon = daemon
	w.join()
	lines, line := bufio.NewReader(daemon), ""
	for {
		daemon.SetReadDeadline(w.patience())
		heard, err := lines.ReadString('\n')
		line += heard
		if errors.Is(err, os.ErrDeadlineExceeded) {
			if w.term != 0 && !w.valid() { // the daemon is stuck: our term is over all the same
				w.over()
			}
			continue
		}
		if err != nil {
			return
		}
		w.take(strings.TrimSuffix(line, "\n"))
		line = ""
	}
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: worker SOCKET COMPONENT")
		os.Exit(2)
	}
	w := worker{component: os.Args[2]}
	for {
		w.lead(os.Args[1])
		if w.term != 0 && !w.valid() {
			w.over()
		}
	}
}
