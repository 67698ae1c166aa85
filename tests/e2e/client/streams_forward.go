package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
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
	err := s.withForward(s.opts.port, func(address string) error {
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

	err = s.withForward(s.opts.port+closingOffset, func(address string) error {
		for number := range connections {
			if err := hearClosing(s.ctx, address, number%2 == 0); err != nil {
				return fmt.Errorf("connection %d: %w", number, err)
			}
		}
		return nil
	})
	s.tap.check("port-forward goes on after connections that the program closed first", err, true, "")

	err = s.withForward(s.opts.port, func(address string) error {
		for number := range connections {
			if err := breakOff(s.ctx, address); err != nil {
				return fmt.Errorf("connection %d: %w", number, err)
			}
		}
		return roundTrip(s.ctx, address, 0, 1<<20)
	})
	s.tap.check("port-forward goes on after connections that the client broke off", err, true, "")
}

// refusal is what happens on a port on which nothing listens: the library gives up the session as soon as it
// reads anything in the stream for errors.
func (s *streams) refusal() {
	ended, err := func() (error, error) {
		session, err := s.startForward(1)
		if err != nil {
			return nil, err
		}
		defer close(session.stop)
		connection, err := (&net.Dialer{}).DialContext(s.ctx, "tcp", session.address)
		if err != nil {
			return nil, err
		}
		defer connection.Close()
		select {
		case err := <-session.ended:
			return err, nil
		case <-s.ctx.Done():
			return nil, s.ctx.Err()
		}
	}()
	s.tap.check("port-forward to a port on which nothing listens ends the session of the library", err,
		errors.Is(ended, portforward.ErrLostConnectionToPod), "%v", ended)
}

// forwarding is a session of the library.
type forwarding struct {
	// address listens on this machine.
	address string
	stop    chan struct{}
	ended   <-chan error
	said    *bytes.Buffer
}

// startForward listens on a port of this machine for the port of the pod, until stop is closed.
func (s *streams) startForward(port int) (*forwarding, error) {
	to, err := s.forwardURL()
	if err != nil {
		return nil, err
	}
	dialer, err := s.dialer(to)
	if err != nil {
		return nil, err
	}
	stop, ready, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	said := &bytes.Buffer{}
	forwarder, err := portforward.NewOnAddresses(dialer, []string{"127.0.0.1"},
		[]string{fmt.Sprintf("0:%d", port)}, stop, ready, io.Discard, said)
	if err != nil {
		return nil, err
	}
	go func() { ended <- forwarder.ForwardPorts() }()
	select {
	case <-ready:
	case err := <-ended:
		return nil, fmt.Errorf("the session ended before it was ready: %w", err)
	}
	ports, err := forwarder.GetPorts()
	if err != nil {
		close(stop)
		return nil, err
	}
	address := fmt.Sprintf("127.0.0.1:%d", ports[0].Local)
	return &forwarding{address: address, stop: stop, ended: ended, said: said}, nil
}

// withForward has a session for as long as use runs, which must not end it.
func (s *streams) withForward(port int, use func(address string) error) error {
	session, err := s.startForward(port)
	if err != nil {
		return err
	}
	err = use(session.address)
	close(session.stop)
	if ended := <-session.ended; err == nil && ended != nil {
		err = ended
	}
	if err != nil && session.said.Len() > 0 {
		err = fmt.Errorf("%w; the library said: %s", err, session.said)
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

// hearClosing asks and reads the answer to its end, which the program makes. Of a client that keeps its half
// open, the library resets that.
func hearClosing(ctx context.Context, address string, keep bool) error {
	connection, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer connection.Close()
	stop := context.AfterFunc(ctx, func() { connection.Close() })
	defer stop()
	if _, err := io.WriteString(connection, "GET\n"); err != nil {
		return err
	}
	if !keep {
		if err := connection.(*net.TCPConn).CloseWrite(); err != nil {
			return err
		}
	}
	heard, err := io.ReadAll(connection)
	if err == nil && string(heard) != farewell {
		err = fmt.Errorf("heard %q", heard)
	}
	return err
}

// breakOff ends a connection under way by a reset.
func breakOff(ctx context.Context, address string) error {
	connection, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer connection.Close()
	stop := context.AfterFunc(ctx, func() { connection.Close() })
	defer stop()
	if _, err := connection.Write(make([]byte, 64<<10)); err != nil {
		return err
	}
	if _, err := io.ReadFull(connection, make([]byte, 1)); err != nil {
		return err
	}
	return connection.(*net.TCPConn).SetLinger(0)
}

// The port of the server that closes first, seen from the one that echoes, and what it says before it does.
const (
	closingOffset = 1
	farewell      = "HTTP/1.0 200 OK\r\n\r\nhello"
)

// echoMain sends every connection's bytes back until its half is closed. On the port behind it, it answers and
// closes at once, as a server of HTTP/1.0 does.
func echoMain(args []string) {
	port, err := strconv.Atoi(args[0])
	exitOn(err)
	go serve(listen(strconv.Itoa(port+closingOffset)), func(connection net.Conn) {
		if _, err := bufio.NewReader(connection).ReadString('\n'); err == nil {
			io.WriteString(connection, farewell)
		}
	})
	listenAndServe(args[0], func(connection net.Conn) {
		io.Copy(connection, connection)
	})
}

// listenAndServe says "listening", handles each connection and closes it, for ever.
func listenAndServe(port string, handle func(net.Conn)) {
	listener := listen(port)
	fmt.Println("listening")
	serve(listener, handle)
}

func listen(port string) net.Listener {
	listener, err := net.Listen("tcp", "127.0.0.1:"+port)
	exitOn(err)
	return listener
}

func serve(listener net.Listener, handle func(net.Conn)) {
	for {
		connection, err := listener.Accept()
		exitOn(err)
		go func() {
			defer connection.Close()
			handle(connection)
		}()
	}
}
