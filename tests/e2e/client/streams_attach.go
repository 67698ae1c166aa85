package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"k8s.io/client-go/tools/remotecommand"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// attached is a client of the container's own streams.
type attached struct {
	stdout, stderr lines
	leave          context.CancelFunc
	done           chan error
}

// lines are what came so far, with a bell for whoever waits for more.
type lines struct {
	mutex sync.Mutex
	text  bytes.Buffer
	bell  chan struct{}
}

func (l *lines) Write(p []byte) (int, error) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.text.Write(p)
	close(l.bell)
	l.bell = make(chan struct{})
	return len(p), nil
}

// has waits until the text is there; false if the checks' time is over before.
func (l *lines) has(ctx context.Context, text string) bool {
	for {
		l.mutex.Lock()
		found, bell := strings.Contains(l.text.String(), text), l.bell
		l.mutex.Unlock()
		if found {
			return true
		}
		select {
		case <-bell:
		case <-ctx.Done():
			return false
		}
	}
}

// attach begins a session; input may be nil.
func (s *streams) attach(input io.Reader) (*attached, error) {
	to, err := s.attachURL(input != nil)
	if err != nil {
		return nil, err
	}
	ctx, leave := context.WithCancel(s.ctx)
	a := &attached{
		stdout: lines{bell: make(chan struct{})},
		stderr: lines{bell: make(chan struct{})},
		leave:  leave,
		done:   make(chan error, 1),
	}
	go func() {
		a.done <- s.stream(ctx, to, remotecommand.StreamOptions{Stdin: input, Stdout: &a.stdout, Stderr: &a.stderr})
	}()
	return a, nil
}

// attaches shows that clients share a container's streams and that it outlives them.
func (s *streams) attaches() {
	ctx, cancel := context.WithTimeout(s.ctx, 2*time.Minute)
	defer cancel()
	input, typed := io.Pipe()
	defer typed.Close()
	writer, err := s.attach(input)
	s.tap.check("attach with standard input", err, true, "")
	reader, err2 := s.attach(nil)
	s.tap.check("attach of a second client", err2, true, "")
	if err != nil || err2 != nil {
		return
	}
	// What a container wrote before a client came is not repeated: so the line is said again until both are there.
	here := make(chan struct{})
	go func() {
		ticker := time.NewTicker(20 * time.Millisecond)
		defer ticker.Stop()
		for {
			if _, err := io.WriteString(typed, "knock\n"); err != nil {
				return
			}
			select {
			case <-ticker.C:
			case <-here:
				io.WriteString(typed, "both\n")
				return
			case <-ctx.Done():
				return
			}
		}
	}()
	for _, client := range []*attached{writer, reader} {
		if !client.stdout.has(ctx, "out knock\n") || !client.stderr.has(ctx, "err knock\n") {
			s.tap.check("both clients are attached", ctx.Err(), false, "")
			return
		}
	}
	close(here)
	for number, client := range []*attached{writer, reader} {
		s.tap.check(fmt.Sprintf("client %d has what the container writes to both outputs", number+1), nil,
			client.stdout.has(ctx, "out both\n") && client.stderr.has(ctx, "err both\n"), "")
	}
	for _, client := range []*attached{writer, reader} {
		client.leave()
		<-client.done
	}
	s.checkRunning("a container outlives the clients that were attached to it")
	input, typed = io.Pipe()
	again, err := s.attach(input)
	if err == nil {
		go io.WriteString(typed, "again\n")
	}
	s.tap.check("and takes another one", err, err == nil && again.stdout.has(ctx, "out again\n"), "")
	if err == nil {
		again.leave()
		<-again.done
	}
	typed.Close()
}

func (s *streams) checkRunning(name string) {
	answer, err := s.runtime.ContainerStatus(s.ctx, s.opts.container, false)
	s.tap.check(name, err, answer.GetStatus().GetState() == runtimeapi.ContainerState_CONTAINER_RUNNING,
		"%v", answer.GetStatus())
}

// attachBriefly breaks the connection off once output has come.
func (s *streams) attachBriefly(ctx context.Context) error {
	input, typed := io.Pipe()
	defer typed.Close()
	client, err := s.attach(input)
	if err != nil {
		return err
	}
	go io.WriteString(typed, "brief\n")
	if !client.stdout.has(ctx, "out brief\n") {
		return ctx.Err()
	}
	client.leave()
	<-client.done
	return nil
}
