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

func (l *lines) String() string {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return l.text.String()
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

// attach begins a session with the container that has no terminal; input may be nil.
func (s *streams) attach(input io.Reader) (*attached, error) {
	return s.attachTo(&runtimeapi.AttachRequest{
		ContainerId: s.opts.container, Stdin: input != nil, Stdout: true, Stderr: true,
	}, remotecommand.StreamOptions{Stdin: input})
}

// attachTo begins a session whose output is kept.
func (s *streams) attachTo(
	request *runtimeapi.AttachRequest, options remotecommand.StreamOptions,
) (*attached, error) {
	to, err := s.attachURL(request)
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
	options.Stdout = &a.stdout
	if request.GetStderr() {
		options.Stderr = &a.stderr
	}
	go func() {
		a.done <- s.stream(ctx, to, options)
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
	s.checkRunning("a container outlives the clients that were attached to it", s.opts.container)
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

// attachesToTerminal shows that a terminal has its client's sizes, what is typed and one output, and
// that the next client finds it.
func (s *streams) attachesToTerminal() {
	ctx, cancel := context.WithTimeout(s.ctx, 2*time.Minute)
	defer cancel()
	s.typesAndResizes(ctx, "attach to a terminal", []remotecommand.TerminalSize{
		{Width: 100, Height: 40}, {Width: 200, Height: 50},
	})
	s.checkRunning("a container outlives the client of its terminal", s.opts.terminal)
	s.typesAndResizes(ctx, "attach to the same terminal", []remotecommand.TerminalSize{{Width: 90, Height: 30}})
}

// typesAndResizes gives each size once the one before was seen, by what the container says to a line.
func (s *streams) typesAndResizes(ctx context.Context, name string, given []remotecommand.TerminalSize) {
	input, typed := io.Pipe()
	defer typed.Close()
	queue := make(sizes, len(given))
	defer close(queue)
	client, err := s.attachTo(&runtimeapi.AttachRequest{
		ContainerId: s.opts.terminal, Tty: true, Stdin: true, Stdout: true,
	}, remotecommand.StreamOptions{Tty: true, Stdin: input, TerminalSizeQueue: queue})
	if err != nil {
		s.tap.check(name, err, false, "")
		return
	}
	for _, size := range given {
		queue <- size
		said := fmt.Sprintf("%dx%d", size.Width, size.Height)
		// A resize goes another way than what is typed and may come later: so the line is typed until then.
		seen := make(chan struct{})
		go func() {
			ticker := time.NewTicker(50 * time.Millisecond)
			defer ticker.Stop()
			for {
				if _, err := io.WriteString(typed, said+"\n"); err != nil {
					return
				}
				select {
				case <-ticker.C:
				case <-seen:
					return
				case <-ctx.Done():
					return
				}
			}
		}()
		answer := fmt.Sprintf("said %s at %d %d\r\n", said, size.Height, size.Width)
		s.tap.check(fmt.Sprintf("%s: it has the size %s and what was typed", name, said), nil,
			client.stdout.has(ctx, answer), "%v", &client.stdout)
		close(seen)
	}
	client.leave()
	<-client.done
}

func (s *streams) checkRunning(name, container string) {
	answer, err := s.runtime.ContainerStatus(s.ctx, container, false)
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
