package main

import (
	"context"
	"strings"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// eventReader is a kubelet's stream of events, beside the calls that cause them.
type eventReader struct {
	channel chan *runtimeapi.ContainerEventResponse
	ended   chan error
	cancel  context.CancelFunc
}

// readEvents connects; what happens after it has returned is told.
func (s *session) readEvents() *eventReader {
	ctx, cancel := context.WithCancel(s.ctx)
	reader := &eventReader{
		channel: make(chan *runtimeapi.ContainerEventResponse, 1000),
		ended:   make(chan error, 1),
		cancel:  cancel,
	}
	connected := make(chan error, 1)
	go func() {
		reader.ended <- s.runtime.GetContainerEvents(ctx, reader.channel,
			func(stream runtimeapi.RuntimeService_GetContainerEventsClient) {
				// Headers come when the server serves the stream.
				_, err := stream.Header()
				connected <- err
			})
	}()
	select {
	case err := <-connected:
		s.tap.check("GetContainerEvents", err, true, "")
	case err := <-reader.ended:
		s.tap.check("GetContainerEvents goes on", err, false, "it ended")
	}
	return reader
}

// expectEvents takes what was told of the pod and its container, from their making to their removal.
func (s *session) expectEvents(reader *eventReader) {
	const life = "CREATED STARTED STOPPED DELETED"
	told := map[string][]string{}
	guard := time.After(time.Minute)
	for len(told[s.pod]) < 4 || len(told[s.container]) < 4 {
		select {
		case event := <-reader.channel:
			kind := strings.TrimSuffix(strings.TrimPrefix(event.GetContainerEventType().String(), "CONTAINER_"), "_EVENT")
			id := event.GetContainerId()
			told[id] = append(told[id], kind)
			if id == s.container && kind == "STOPPED" {
				statuses := event.GetContainersStatuses()
				s.tap.check("an end is told with the exit code", nil,
					len(statuses) == 1 && statuses[0].GetExitCode() == 7 &&
						event.GetPodSandboxStatus().GetId() == s.pod, "%v", event)
			}
			continue
		case <-guard:
		}
		break
	}
	for name, id := range map[string]string{"pod": s.pod, "container": s.container} {
		s.tap.check("events of the "+name+", in order", nil, strings.Join(told[id], " ") == life, "%v", told[id])
	}
	reader.cancel()
	s.tap.check("a reader that goes away is let go", nil, <-reader.ended != nil, "")
}
