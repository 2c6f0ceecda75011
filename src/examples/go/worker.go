// SPDX-License-Identifier: Apache-2.0

// The whole life of a worker in plain Go: works for COMPONENT while the daemon at SOCKET lets it lead.
//
//	worker SOCKET COMPONENT
//
// The work is yours: start(), piece() and stop() of type work, which return soon. Here a piece of it adds the time and
// the term to the file that $WORK names. SIGTERM ends it. ../python/worker.py is the same in Python. Each line it hears
// (<) and says (>) of the component goes to standard output, with the time of CLOCK_BOOTTIME in nanoseconds.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

const clockBoottime = 7
const horizon = int64(10 * time.Minute) // no daemon writes a deadline that is further away
const pieceEvery = 20 * time.Millisecond // from one piece of work, or attempt to connect, to the next

func now() int64 {
	var ts syscall.Timespec
	syscall.Syscall(syscall.SYS_CLOCK_GETTIME, clockBoottime, uintptr(unsafe.Pointer(&ts)), 0)
	return ts.Nano()
}

func note(mark, text string) {
	fmt.Printf("%d %s %s\n", now(), mark, text)
}

// An error says that it cannot be done here: another replica gets its chance.
type work struct {
	file *os.File
}

func (w *work) start() (err error) {
	if path, asked := os.LookupEnv("WORK"); asked {
		w.file, err = os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	}
	return err
}

func (w *work) piece(at int64, term uint64) (err error) {
	if w.file != nil {
		_, err = fmt.Fprintf(w.file, "%d %d\n", at, term)
	}
	return err
}

// Nothing of the work is left when it returns.
func (w *work) stop() {
	if w.file != nil {
		w.file.Close()
	}
}

// What the terms page says of a slot; see tenure-protocol(7).
type page struct {
	memory []byte
	slot   uint32
}

func openPage(path string, slot uint32) (*page, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	status, err := file.Stat()
	if err != nil {
		return nil, err
	}
	memory, err := syscall.Mmap(int(file.Fd()), 0, int(status.Size()), syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		return nil, err
	}
	p := &page{memory: memory}
	p.slot = p.number(12) + slot*p.number(16)
	boot, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if string(memory[:8]) != "tenure\r\n" || p.number(8) != 1 || string(memory[24:60])+"\n" != string(boot) {
		p.close()
		return nil, errors.New("no terms page of this boot")
	}
	return p, nil
}

func (p *page) close() {
	if p != nil {
		syscall.Munmap(p.memory)
	}
}

func (p *page) number(at uint32) uint32 {
	return *(*uint32)(unsafe.Pointer(&p.memory[at]))
}

// Term and deadline. The loads are ordered.
func (p *page) look() (uint64, int64) {
	sequence := (*uint32)(unsafe.Pointer(&p.memory[p.slot]))
	for tries := 0; tries < 32; tries++ {
		before := atomic.LoadUint32(sequence)
		term := atomic.LoadUint64((*uint64)(unsafe.Pointer(&p.memory[p.slot+8])))
		deadline := atomic.LoadInt64((*int64)(unsafe.Pointer(&p.memory[p.slot+16])))
		if before%2 == 0 && atomic.LoadUint32(sequence) == before {
			return term, deadline
		}
	}
	return 0, 0
}

type worker struct {
	path, component string
	work            work
	term            uint64 // what we hold, 0: nothing
	deadline        int64  // until when it is ours, connected or not
	page            *page
	terms           string // where the daemon says that it is
	daemon          net.Conn
	lines           chan string // what it says
	joined          bool
	held            net.Conn // the connection before, while we work
}

// When our term is over, by the terms page; by what we heard where there is none.
func (w *worker) until() int64 {
	if w.page == nil {
		return w.deadline
	}
	term, deadline := w.page.look()
	if term != w.term || deadline > now()+horizon {
		return 0
	}
	return deadline
}

func (w *worker) say(word, format string, values ...any) {
	text := fmt.Sprintf("%s component=%s", word, w.component) + fmt.Sprintf(format, values...)
	note(">", text)
	w.send(text)
}

func (w *worker) send(text string) {
	if w.daemon != nil { // where it fails, reading finds the end: until then there may be something to hear
		fmt.Fprintln(w.daemon, text)
	}
}

// The work.

func (w *worker) begin(term uint64, deadline int64) {
	w.term, w.deadline = term, deadline
	if now() >= w.until() { // we slept: that it is revoked is still to come
		w.term = 0
		return
	}
	if err := w.work.start(); err != nil {
		w.term = 0
		w.say("yield", " term=%d reason=start", term)
		return
	}
	w.say("started", " term=%d", term)
}

func (w *worker) goOn() {
	term, until := w.term, w.until()
	at := now() // last, so that a pause before it counts
	if at >= until {
		w.over()
	} else if err := w.work.piece(at, term); err != nil {
		w.end()
		w.say("yield", " term=%d reason=work", term)
	}
}

// The work ends without a word from the daemon.
func (w *worker) over() {
	if w.term != 0 {
		note(">", fmt.Sprintf("over component=%s term=%d", w.component, w.term))
	}
	w.end()
}

func (w *worker) end() {
	if w.term != 0 {
		w.work.stop()
		w.term = 0
	}
	w.letGo()
}

// The daemon.

func (w *worker) connect() {
	daemon, err := net.Dial("unix", w.path)
	if err != nil { // nobody there
		return
	}
	lines := make(chan string)
	go func() {
		for scanner := bufio.NewScanner(daemon); scanner.Scan(); {
			lines <- scanner.Text()
		}
		close(lines)
	}()
	w.daemon, w.lines, w.joined = daemon, lines, false
	w.send("hello version=1")
	w.join()
}

func (w *worker) join() {
	if w.term != 0 {
		w.say("join", " term=%d", w.term)
	} else {
		w.say("join", "")
	}
}

func (w *worker) onJoined(slot uint64) {
	w.joined = true
	w.letGo()
	w.page.close()
	w.page, _ = openPage(w.terms, uint32(slot)) // again: another daemon may have another
	if w.term != 0 {
		w.say("started", " term=%d", w.term) // again: the daemon may have died before it heard that
	}
}

func (w *worker) onRefused(code string) {
	w.over() // what we came back with
	if code != "stale" {
		os.Exit(1)
	}
	w.join()
}

func (w *worker) take(line string) {
	words := strings.Fields(line)
	value := map[string]string{}
	for _, field := range words[1:] {
		key, text, _ := strings.Cut(field, "=")
		value[key] = text
	}
	if value["terms"] != "" { // to hello
		w.terms, _ = url.PathUnescape(value["terms"])
		return
	}
	note("<", line)
	term, _ := strconv.ParseUint(value["term"], 10, 64)
	deadline, _ := strconv.ParseInt(value["deadline"], 10, 64)
	switch {
	case words[0] == "granted":
		w.begin(term, deadline)
	case words[0] == "extended" && term == w.term:
		w.deadline = deadline
	case words[0] == "extended" || words[0] == "revoked": // or it is extended in vain: our work has ended already
		w.end()
		w.say("stopped", " term=%d", term)
	case value["slot"] != "":
		slot, _ := strconv.ParseUint(value["slot"], 10, 32)
		w.onJoined(slot)
	case words[0] == "error" && !w.joined:
		w.onRefused(value["code"])
	}
}

func (w *worker) hungUp() {
	if w.term != 0 && w.held == nil {
		w.held = w.daemon // stays open: its end would say that our work has ended
	} else {
		w.daemon.Close()
	}
	w.daemon, w.lines = nil, nil
}

func (w *worker) letGo() {
	if w.held != nil {
		w.held.Close()
	}
	w.held = nil
}

// Timers stand still in suspend, and CLOCK_BOOTTIME does not: hence no long ones.
func (w *worker) patience() <-chan time.Time {
	if w.term == 0 && w.daemon != nil {
		return nil
	}
	if left := time.Duration(w.until() - now()); w.term != 0 && left < pieceEvery {
		return time.After(left)
	}
	return time.After(pieceEvery)
}

// Until something comes from told.
func (w *worker) run(told <-chan os.Signal) {
	for {
		if w.daemon == nil {
			w.connect()
		}
		select {
		case <-told:
			w.end()
			if w.daemon != nil {
				w.say("leave", "")
			}
			return
		case line, more := <-w.lines:
			if more {
				w.take(line)
			} else {
				w.hungUp()
			}
		case <-w.patience():
		}
		if w.term != 0 {
			w.goOn()
		}
	}
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: worker SOCKET COMPONENT")
		os.Exit(2)
	}
	told := make(chan os.Signal, 1)
	signal.Notify(told, syscall.SIGTERM, syscall.SIGINT)
	w := worker{path: os.Args[1], component: os.Args[2]}
	w.run(told)
}
