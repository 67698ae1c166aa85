package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"

	"k8s.io/client-go/tools/remotecommand"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// workers of a flood at the same time.
const workers = 4

// daemonWorkers are more: a command whose output somebody else still holds is given some time after its end.
const daemonWorkers = 32

// flood runs what could leave something behind, many times.
func (s *streams) flood() {
	s.tap.check("many commands", s.often(workers, s.opts.execs, s.execTrue), true, "")
	s.tap.check("a command that is broken off", s.execBrokenOff(s.ctx), true, "")
	s.tap.check("many attached clients that break off", s.often(workers, s.opts.attaches, s.attachBriefly), true, "")
	s.tap.check("many resized terminals of a program that is not there",
		s.often(workers, s.opts.failures, s.execNothing), true, "")
	s.tap.check("many resized terminals that are broken off", s.often(workers, s.opts.failures, s.terminalBrokenOff), true, "")
	s.tap.check("many clients that leave while their command starts",
		s.often(workers, s.opts.failures, s.terminalLeftEarly), true, "")
	s.tap.check("many commands that leave a program behind which holds their output",
		s.often(daemonWorkers, s.opts.daemons, s.execDaemon), true, "")
	s.tap.check("a command that ends well, after them", s.execTrue(s.ctx), true, "")
	s.checkRunning("the container is as it was", s.opts.container)
}

// often returns the first failure.
func (s *streams) often(workers, times int, once func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(s.ctx)
	defer cancel(nil)
	turns := make(chan struct{})
	var group sync.WaitGroup
	for range workers {
		group.Go(func() {
			for range turns {
				if err := once(ctx); err != nil {
					cancel(err)
				}
			}
		})
	}
	for range times {
		turns <- struct{}{}
	}
	close(turns)
	group.Wait()
	return context.Cause(ctx)
}

// sizesOfStorm are more than any user makes while a command starts.
const sizesOfStorm = 500

// storm has one new size after the other, and ends with its session.
type storm struct {
	session context.Context
	begun   func()
	sent    uint16
}

func (s *storm) Next() *remotecommand.TerminalSize {
	if s.sent == sizesOfStorm {
		<-s.session.Done()
	}
	if s.session.Err() != nil {
		return nil
	}
	s.sent++
	if s.sent == 2 {
		// The first is on its way.
		s.begun()
	}
	return &remotecommand.TerminalSize{Width: s.sent, Height: 50}
}

// execNothing is told of each that its program is not there.
func (s *streams) execNothing(ctx context.Context) error {
	err := s.execInStorm(ctx, []string{"no-such-program"}, func() {}, func() {})
	if err == nil || !strings.Contains(err.Error(), "no-such-program") {
		return fmt.Errorf("a program that is not there: %v", err)
	}
	return nil
}

// terminalBrokenOff leaves once the command runs.
func (s *streams) terminalBrokenOff(ctx context.Context) error {
	within, leave := context.WithCancel(ctx)
	defer leave()
	_ = s.execInStorm(within, []string{"sh", "-c", "echo begun; sleep 100000"}, func() {}, leave)
	return ctx.Err()
}

// terminalLeftEarly leaves as soon as the streams are open.
func (s *streams) terminalLeftEarly(ctx context.Context) error {
	within, leave := context.WithCancel(ctx)
	defer leave()
	_ = s.execInStorm(within, []string{"sleep", "100000"}, leave, func() {})
	return ctx.Err()
}

// execInStorm runs a command on a terminal that is resized all the time, with nobody typing.
func (s *streams) execInStorm(ctx context.Context, command []string, opened, heard func()) error {
	to, err := s.execURL(&runtimeapi.ExecRequest{Cmd: command, Tty: true, Stdin: true, Stdout: true})
	if err != nil {
		return err
	}
	session, over := context.WithCancel(ctx)
	defer over()
	input, typed := io.Pipe()
	defer typed.Close()
	return s.stream(session, to, remotecommand.StreamOptions{
		Tty: true, Stdin: input, Stdout: &watch{seen: func(string) { heard() }},
		TerminalSizeQueue: &storm{session: session, begun: opened},
	})
}
