package main

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// patience is how long hcsrun waits before it shows what it waits for.
const patience = time.Second

// wait shows on a terminal what hcsrun waits for, once that takes longer than a
// second, until the returned function is called.
func (a *app) wait(format string, args ...any) (done func()) {
	if !a.stderr.terminal || a.json {
		return func() {}
	}
	what := fmt.Sprintf(format, args...)
	stop := make(chan struct{})
	var spinning sync.WaitGroup
	spinning.Go(func() { a.spin(what, stop) })
	return sync.OnceFunc(func() {
		close(stop)
		spinning.Wait()
		a.stderr.screen.mu.Lock()
		defer a.stderr.screen.mu.Unlock()
		a.stderr.screen.eraseLocked()
	})
}

func (a *app) spin(what string, stop <-chan struct{}) {
	const turn = 200 * time.Millisecond
	start := time.Now()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for i := 0; ; i++ {
		select {
		case <-stop:
			return
		case <-timer.C:
			a.stderr.show(fmt.Sprintf("%c %s (%d s)", `|/-\`[i%4], what, time.Since(start)/time.Second))
			timer.Reset(turn)
		}
	}
}

// show puts the spinner on the last line.
func (o *output) show(text string) {
	o.screen.mu.Lock()
	defer o.screen.mu.Unlock()
	o.screen.eraseLocked()
	_, _ = io.WriteString(o.w, o.paint(bold, text))
	o.screen.spinner = o.w
}
