package main

import (
	"context"
	"sync"
)

// workers of a flood at the same time.
const workers = 4

// flood runs what could leave something behind, many times.
func (s *streams) flood() {
	s.tap.check("many commands", s.often(s.opts.execs, s.execTrue), true, "")
	s.tap.check("a command that is broken off", s.execBrokenOff(s.ctx), true, "")
	s.tap.check("many attached clients that break off", s.often(s.opts.attaches, s.attachBriefly), true, "")
	s.checkRunning("the container is as it was")
}

// often returns the first failure.
func (s *streams) often(times int, once func(context.Context) error) error {
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
