package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"k8s.io/client-go/tools/portforward"
)

// connections of one session at the same time.
const connections = 8

// forwards sends data through several connections at once.
func (s *streams) forwards() {
	started := time.Now()
	length := s.opts.bytes / connections
	err := s.withForward(func(address string) error {
		var group sync.WaitGroup
		failures := make([]error, connections)
		for number := range connections {
			group.Go(func() { failures[number] = roundTrip(s.ctx, address, int64(number), length) })
		}
		group.Wait()
		for _, failure := range failures {
			if failure != nil {
				return failure
			}
		}
		return nil
	})
	s.tap.check("port-forward passes binary data in connections that last at the same time", err, true, "")
	s.tap.figure("port-forward", length*connections, time.Since(started))
}

// withForward listens on a port of this machine for as long as use runs.
func (s *streams) withForward(use func(address string) error) error {
	to, err := s.forwardURL()
	if err != nil {
		return err
	}
	dialer, err := s.dialer(to)
	if err != nil {
		return err
	}
	stop, ready := make(chan struct{}), make(chan struct{})
	var said bytes.Buffer
	forwarder, err := portforward.NewOnAddresses(dialer, []string{"127.0.0.1"},
		[]string{fmt.Sprintf("0:%d", s.opts.port)}, stop, ready, io.Discard, &said)
	if err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- forwarder.ForwardPorts() }()
	select {
	case <-ready:
	case err := <-done:
		return fmt.Errorf("the session ended before it was ready: %w", err)
	}
	ports, err := forwarder.GetPorts()
	if err == nil {
		err = use(fmt.Sprintf("127.0.0.1:%d", ports[0].Local))
	}
	close(stop)
	if ended := <-done; err == nil && ended != nil {
		err = ended
	}
	if err != nil && said.Len() > 0 {
		err = fmt.Errorf("%w; the library said: %s", err, said.String())
	}
	return err
}

// roundTrip sends, closes its half, and reads the same back to its end.
func roundTrip(ctx context.Context, address string, seed, length int64) error {
	connection, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer connection.Close()
	stop := context.AfterFunc(ctx, func() { connection.Close() })
	defer stop()
	input, sent := noise(seed, length)
	written := make(chan error, 1)
	go func() {
		_, err := io.Copy(connection, input)
		if half := connection.(*net.TCPConn).CloseWrite(); err == nil {
			err = half
		}
		written <- err
	}()
	came := &counting{Hash: sha256.New()}
	_, err = io.Copy(came, connection)
	if sending := <-written; err == nil {
		err = sending
	}
	if err != nil {
		return err
	}
	if came.count != length || !bytes.Equal(sent.Sum(nil), came.Sum(nil)) {
		return fmt.Errorf("connection %d: %d of %d bytes came back, %x for %x", seed, came.count, length,
			came.Sum(nil), sent.Sum(nil))
	}
	return nil
}

// echoMain sends every connection's bytes back until its half is closed.
func echoMain(args []string) {
	listenAndServe(args[0], func(connection net.Conn) {
		io.Copy(connection, connection)
	})
}

// listenAndServe says "listening", handles each connection and closes it, for ever.
func listenAndServe(port string, handle func(net.Conn)) {
	listener, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("listening")
	for {
		connection, err := listener.Accept()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		go func() {
			defer connection.Close()
			handle(connection)
		}()
	}
}
