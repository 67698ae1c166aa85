// Command client drives a CRI server with the kubelet's own client library and says what it saw:
// one line of TAP for each check. It ends with status 1 if one failed.
//
//	client -endpoint=unix://SOCKET ...          a pod's life
//	client streams -endpoint=unix://SOCKET ...  exec, attach and port-forward, by client-go
//	client echo PORT                            a server that the latter forwards to
//	client speed -endpoint=unix://SOCKET ...    how fast bytes pass, for bench/
//	client speed-server PORT                    where they go through a port
//	client source BYTES, client sink            where they go through a command
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	internalapi "k8s.io/cri-api/pkg/apis"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	remote "k8s.io/cri-client/pkg"
)

// options are where to go and what to use there.
type options struct {
	endpoint     string
	image        string
	logDirectory string
	cgroupParent string
	streaming    bool
}

// session is one connection with what the checks so far have made.
type session struct {
	ctx     context.Context
	opts    options
	runtime internalapi.RuntimeService
	images  internalapi.ImageManagerService
	tap     *tap

	podConfig *runtimeapi.PodSandboxConfig
	pod       string
	container string
	imageID   string
}

func main() {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "streams":
			streamsMain(os.Args[2:])
			return
		case "echo":
			echoMain(os.Args[2:])
			return
		case "speed":
			speedMain(os.Args[2:])
			return
		case "speed-server":
			speedServerMain(os.Args[2:])
			return
		case "source":
			sourceMain(os.Args[2:])
			return
		case "sink":
			sinkMain()
			return
		}
	}
	var opts options
	flag.StringVar(&opts.endpoint, "endpoint", "", "CRI endpoint, unix:///path")
	flag.StringVar(&opts.image, "image", "", "image to pull; has sh, sleep and echo")
	flag.StringVar(&opts.logDirectory, "log-directory", "", "log directory of the pod")
	flag.StringVar(&opts.cgroupParent, "cgroup-parent", "", "cgroup parent of the pod")
	flag.BoolVar(&opts.streaming, "streaming", false, "list by the Stream calls")
	flag.Parse()

	// A hang guard, ten times and more what all of it takes.
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	s, err := connect(ctx, opts)
	if err != nil {
		fmt.Println("Bail out! could not connect:", err)
		os.Exit(1)
	}
	s.all()
	if !s.tap.end() {
		os.Exit(1)
	}
}

// all makes every check, or stops where the rest would only repeat the failure.
func (s *session) all() {
	s.node()
	s.image()
	if s.imageID == "" {
		return
	}
	events := s.readEvents()
	s.sandbox()
	if s.pod == "" {
		return
	}
	s.containerLife()
	s.refusals()
	s.ending()
	s.expectEvents(events)
}

func connect(ctx context.Context, opts options) (*session, error) {
	const timeout = 2 * time.Minute
	runtime, err := remote.NewRemoteRuntimeService(ctx, opts.endpoint, timeout, nil, opts.streaming)
	if err != nil {
		return nil, err
	}
	images, err := remote.NewRemoteImageService(ctx, opts.endpoint, timeout, nil, opts.streaming)
	if err != nil {
		return nil, err
	}
	return &session{ctx: ctx, opts: opts, runtime: runtime, images: images, tap: &tap{}}, nil
}

func (s *session) node() {
	version, err := s.runtime.Version(s.ctx, "0.1.0")
	s.tap.check("Version", err, version.GetRuntimeApiVersion() == "v1" && version.GetVersion() == "0.1.0",
		"%v", version)
	answer, err := s.runtime.Status(s.ctx, true)
	ready := map[string]bool{}
	for _, condition := range answer.GetStatus().GetConditions() {
		ready[condition.GetType()] = condition.GetStatus()
	}
	s.tap.check("Status: the runtime and the network are ready", err,
		ready["RuntimeReady"] && ready["NetworkReady"], "%v", answer.GetStatus())
	s.tap.check("Status names the default handler without a name", err,
		len(answer.GetRuntimeHandlers()) > 0 && answer.GetRuntimeHandlers()[0].GetName() == "",
		"%v", answer.GetRuntimeHandlers())
	config, err := s.runtime.RuntimeConfig(s.ctx)
	s.tap.check("RuntimeConfig names the cgroup driver", err,
		config.GetLinux().GetCgroupDriver() == runtimeapi.CgroupDriver_CGROUPFS, "%v", config)
	err = s.runtime.UpdateRuntimeConfig(s.ctx, &runtimeapi.RuntimeConfig{
		NetworkConfig: &runtimeapi.NetworkConfig{PodCidr: "10.1.0.0/24"},
	})
	s.tap.check("UpdateRuntimeConfig", err, true, "")
}

func (s *session) image() {
	spec := &runtimeapi.ImageSpec{Image: s.opts.image}
	before, err := s.images.ImageStatus(s.ctx, spec, false)
	s.tap.check("ImageStatus of an image that is not there has none", err, before.GetImage() == nil,
		"%v", before)
	s.imageID, err = s.images.PullImage(s.ctx, spec, nil, nil)
	s.tap.check("PullImage", err, len(s.imageID) == 64, "%q", s.imageID)
	after, err := s.images.ImageStatus(s.ctx, spec, true)
	s.tap.check("ImageStatus by name has the id and a size", err,
		after.GetImage().GetId() == s.imageID && after.GetImage().GetSize() > 0 && len(after.GetInfo()) > 0,
		"%v", after)
	byID, err := s.images.ImageStatus(s.ctx, &runtimeapi.ImageSpec{Image: s.imageID}, false)
	s.tap.check("ImageStatus by id", err, byID.GetImage().GetId() == s.imageID, "%v", byID)
	all, err := s.images.ListImages(s.ctx, nil)
	s.tap.check("ListImages", err, len(all) == 1 && all[0].GetId() == s.imageID, "%v", all)
	one, err := s.images.ListImages(s.ctx, &runtimeapi.ImageFilter{Image: spec})
	s.tap.check("ListImages by name", err, len(one) == 1, "%v", one)
	again, err := s.images.PullImage(s.ctx, spec, nil, nil)
	s.tap.check("PullImage of an image that is there", err, again == s.imageID, "%q", again)
	usage, err := s.images.ImageFsInfo(s.ctx)
	s.tap.check("ImageFsInfo has both file systems", err,
		len(usage.GetImageFilesystems()) == 1 && len(usage.GetContainerFilesystems()) == 1 &&
			usage.GetImageFilesystems()[0].GetUsedBytes().GetValue() > 0, "%v", usage)
}

func (s *session) sandbox() {
	s.podConfig = &runtimeapi.PodSandboxConfig{
		Metadata:     &runtimeapi.PodSandboxMetadata{Name: "e2e", Namespace: "default", Uid: "e2e-uid"},
		Hostname:     "e2e-host",
		LogDirectory: s.opts.logDirectory,
		Labels:       map[string]string{"app": "e2e", "empty": ""},
		Annotations:  map[string]string{"note": "two\nlines"},
		Linux: &runtimeapi.LinuxPodSandboxConfig{
			CgroupParent: s.opts.cgroupParent,
			SecurityContext: &runtimeapi.LinuxSandboxSecurityContext{
				NamespaceOptions: &runtimeapi.NamespaceOption{Pid: runtimeapi.NamespaceMode_CONTAINER},
			},
		},
	}
	var err error
	s.pod, err = s.runtime.RunPodSandbox(s.ctx, s.podConfig, "")
	s.tap.check("RunPodSandbox", err, len(s.pod) == 64, "%q", s.pod)
	again, err := s.runtime.RunPodSandbox(s.ctx, s.podConfig, "")
	s.tap.check("RunPodSandbox again returns the same id", err, again == s.pod, "%q", again)
	answer, err := s.runtime.PodSandboxStatus(s.ctx, s.pod, true)
	got := answer.GetStatus()
	s.tap.check("PodSandboxStatus: ready, with an address", err,
		got.GetState() == runtimeapi.PodSandboxState_SANDBOX_READY && got.GetNetwork().GetIp() != "" &&
			got.GetCreatedAt() > 0, "%v", answer)
	s.tap.check("PodSandboxStatus returns labels, annotations and namespaces as they were", err,
		got.GetLabels()["app"] == "e2e" && got.GetAnnotations()["note"] == "two\nlines" &&
			got.GetLinux().GetNamespaces().GetOptions().GetPid() == runtimeapi.NamespaceMode_CONTAINER,
		"%v", got)
	for name, filter := range map[string]*runtimeapi.PodSandboxFilter{
		"all":    nil,
		"id":     {Id: s.pod},
		"prefix": {Id: s.pod[:min(13, len(s.pod))]},
		"state":  {State: &runtimeapi.PodSandboxStateValue{State: runtimeapi.PodSandboxState_SANDBOX_READY}},
		"labels": {LabelSelector: map[string]string{"app": "e2e", "empty": ""}},
	} {
		found, err := s.runtime.ListPodSandbox(s.ctx, filter)
		s.tap.check("ListPodSandbox by "+name, err, len(found) == 1 && found[0].GetId() == s.pod, "%v", found)
	}
	for name, filter := range map[string]*runtimeapi.PodSandboxFilter{
		"another id":    {Id: "ffffffffffffffffffffffffff"},
		"another state": {State: &runtimeapi.PodSandboxStateValue{State: runtimeapi.PodSandboxState_SANDBOX_NOTREADY}},
		"other labels":  {LabelSelector: map[string]string{"app": "e2e", "more": ""}},
	} {
		found, err := s.runtime.ListPodSandbox(s.ctx, filter)
		s.tap.check("ListPodSandbox by "+name+" finds none", err, len(found) == 0, "%v", found)
	}
}

func (s *session) containerConfig(name, script string) *runtimeapi.ContainerConfig {
	return &runtimeapi.ContainerConfig{
		Metadata: &runtimeapi.ContainerMetadata{Name: name},
		Image:    &runtimeapi.ImageSpec{Image: s.imageID, UserSpecifiedImage: s.opts.image},
		Command:  []string{"sh", "-c", script},
		Envs:     []*runtimeapi.KeyValue{{Key: "GREETING", Value: []byte("hello")}},
		Labels:   map[string]string{"name": name},
		LogPath:  name + "/0.log",
		Linux: &runtimeapi.LinuxContainerConfig{
			SecurityContext: &runtimeapi.LinuxContainerSecurityContext{
				NamespaceOptions: &runtimeapi.NamespaceOption{Pid: runtimeapi.NamespaceMode_CONTAINER},
			},
		},
	}
}

// The container ends with status 7 when it is asked to.
const mainScript = `echo "$GREETING from $(hostname)"; echo oops >&2
trap 'exit 7' TERM; while :; do sleep 1 & wait $!; done`

func (s *session) containerLife() {
	// The kubelet makes a container's folder of logs before it asks for the container.
	err := os.MkdirAll(filepath.Join(s.opts.logDirectory, "main"), 0o755)
	s.tap.check("the folder of logs", err, true, "")
	config := s.containerConfig("main", mainScript)
	s.container, err = s.runtime.CreateContainer(s.ctx, s.pod, config, s.podConfig)
	s.tap.check("CreateContainer", err, len(s.container) == 64, "%q", s.container)
	if s.container == "" {
		return
	}
	again, err := s.runtime.CreateContainer(s.ctx, s.pod, config, s.podConfig)
	s.tap.check("CreateContainer again returns the same id", err, again == s.container, "%q", again)
	s.expectState("created", runtimeapi.ContainerState_CONTAINER_CREATED)
	s.tap.check("StartContainer", s.runtime.StartContainer(s.ctx, s.container), true, "")
	s.expectState("running", runtimeapi.ContainerState_CONTAINER_RUNNING)
	s.expectCode("StartContainer of a running container", codes.FailedPrecondition,
		s.runtime.StartContainer(s.ctx, s.container))

	for name, filter := range map[string]*runtimeapi.ContainerFilter{
		"all":     nil,
		"prefix":  {Id: s.container[:min(13, len(s.container))]},
		"sandbox": {PodSandboxId: s.pod},
		"state":   {State: &runtimeapi.ContainerStateValue{State: runtimeapi.ContainerState_CONTAINER_RUNNING}},
		"labels":  {LabelSelector: map[string]string{"name": "main"}},
	} {
		found, err := s.runtime.ListContainers(s.ctx, filter)
		s.tap.check("ListContainers by "+name, err,
			len(found) == 1 && found[0].GetId() == s.container && found[0].GetImageId() == s.imageID,
			"%v", found)
	}
	s.exec()
	s.urls()
	s.resources()
	s.unbuilt()
	s.logs()
	s.expectCode("RemoveImage of an image in use", codes.FailedPrecondition,
		s.images.RemoveImage(s.ctx, &runtimeapi.ImageSpec{Image: s.imageID}))
	s.tap.check("StopContainer", s.runtime.StopContainer(s.ctx, s.container, 10), true, "")
	s.expectState("exited", runtimeapi.ContainerState_CONTAINER_EXITED)
	answer, err := s.runtime.ContainerStatus(s.ctx, s.container, true)
	got := answer.GetStatus()
	s.tap.check("ContainerStatus has the exit code and times in order", err,
		got.GetExitCode() == 7 && got.GetReason() == "Error" && got.GetCreatedAt() > 0 &&
			got.GetStartedAt() >= got.GetCreatedAt() && got.GetFinishedAt() >= got.GetStartedAt(), "%v", got)
	s.tap.check("StopContainer again", s.runtime.StopContainer(s.ctx, s.container, 10), true, "")
}

func (s *session) expectState(name string, want runtimeapi.ContainerState) {
	answer, err := s.runtime.ContainerStatus(s.ctx, s.container, false)
	got := answer.GetStatus()
	s.tap.check("ContainerStatus: "+name, err,
		got.GetState() == want && got.GetImageId() == s.imageID && got.GetMetadata().GetName() == "main" &&
			got.GetLogPath() == filepath.Join(s.opts.logDirectory, "main/0.log"), "%v", got)
}

func (s *session) resources() {
	const limit = 64 << 20
	s.tap.check("UpdateContainerResources", s.runtime.UpdateContainerResources(s.ctx, s.container,
		&runtimeapi.ContainerResources{
			Linux: &runtimeapi.LinuxContainerResources{CpuShares: 512, MemoryLimitInBytes: limit},
		}), true, "")
	answer, err := s.runtime.ContainerStatus(s.ctx, s.container, false)
	got := answer.GetStatus().GetResources().GetLinux()
	s.tap.check("ContainerStatus has the resources that were changed", err,
		got.GetCpuShares() == 512 && got.GetMemoryLimitInBytes() == limit, "%v", got)
	_, err = s.runtime.UpdatePodSandboxResources(s.ctx, &runtimeapi.UpdatePodSandboxResourcesRequest{
		PodSandboxId: s.pod, Resources: &runtimeapi.LinuxContainerResources{CpuShares: 512},
	})
	s.tap.check("UpdatePodSandboxResources", err, true, "")
	s.expectCode("UpdateContainerResources of a container that is not there", codes.NotFound,
		s.runtime.UpdateContainerResources(s.ctx, "0000000000000000", &runtimeapi.ContainerResources{
			Linux: &runtimeapi.LinuxContainerResources{CpuShares: 512},
		}))
}

func (s *session) exec() {
	stdout, stderr, err := s.runtime.ExecSync(s.ctx, s.container,
		[]string{"sh", "-c", `echo "out $GREETING"; echo err >&2`}, 30*time.Second)
	s.tap.check("ExecSync has both streams", err,
		string(stdout) == "out hello\n" && string(stderr) == "err\n", "%q %q", stdout, stderr)
	_, _, err = s.runtime.ExecSync(s.ctx, s.container, []string{"sh", "-c", "exit 5"}, 30*time.Second)
	var exit interface{ ExitStatus() int }
	exitStatus := -1
	if asExit(err, &exit) {
		exitStatus = exit.ExitStatus()
	}
	s.tap.check("ExecSync has the exit code", nil, exitStatus == 5, "%v", err)
	started := time.Now()
	_, _, err = s.runtime.ExecSync(s.ctx, s.container, []string{"sleep", "100"}, time.Second)
	// The library makes this of DeadlineExceeded, and of nothing else.
	s.tap.check("ExecSync over its time-out is DeadlineExceeded", nil,
		errors.Is(err, remote.ErrCommandTimedOut), "%v", err)
	s.tap.check("ExecSync ends soon after its time-out", nil, time.Since(started) < 30*time.Second,
		"%v", time.Since(started))
	_, _, err = s.runtime.ExecSync(s.ctx, "0000000000000000", []string{"true"}, time.Second)
	s.expectCode("ExecSync in a container that is not there", codes.NotFound, err)
}

// urls asks for streams; what they carry is another run of this program.
func (s *session) urls() {
	exec, err := s.runtime.Exec(s.ctx, &runtimeapi.ExecRequest{
		ContainerId: s.container, Cmd: []string{"true"}, Stdout: true,
	})
	s.tap.check("Exec gives a URL", err, strings.Contains(exec.GetUrl(), "/exec/"), "%v", exec)
	attach, err := s.runtime.Attach(s.ctx, &runtimeapi.AttachRequest{ContainerId: s.container, Stdout: true})
	s.tap.check("Attach gives a URL", err, strings.Contains(attach.GetUrl(), "/attach/"), "%v", attach)
	forward, err := s.runtime.PortForward(s.ctx, &runtimeapi.PortForwardRequest{
		PodSandboxId: s.pod, Port: []int32{80},
	})
	s.tap.check("PortForward gives a URL", err, strings.Contains(forward.GetUrl(), "/portforward/"), "%v", forward)
}

func (s *session) ending() {
	s.tap.check("RemoveContainer", s.runtime.RemoveContainer(s.ctx, s.container), true, "")
	s.tap.check("RemoveContainer again", s.runtime.RemoveContainer(s.ctx, s.container), true, "")
	_, err := s.runtime.ContainerStatus(s.ctx, s.container, false)
	s.expectCode("ContainerStatus of a removed container", codes.NotFound, err)
	s.tap.check("StopPodSandbox", s.runtime.StopPodSandbox(s.ctx, s.pod), true, "")
	answer, err := s.runtime.PodSandboxStatus(s.ctx, s.pod, false)
	s.tap.check("PodSandboxStatus: not ready", err,
		answer.GetStatus().GetState() == runtimeapi.PodSandboxState_SANDBOX_NOTREADY, "%v", answer)
	s.tap.check("StopPodSandbox again", s.runtime.StopPodSandbox(s.ctx, s.pod), true, "")
	s.tap.check("RemovePodSandbox", s.runtime.RemovePodSandbox(s.ctx, s.pod), true, "")
	s.tap.check("RemovePodSandbox again", s.runtime.RemovePodSandbox(s.ctx, s.pod), true, "")
	_, err = s.runtime.PodSandboxStatus(s.ctx, s.pod, false)
	s.expectCode("PodSandboxStatus of a removed sandbox", codes.NotFound, err)
	spec := &runtimeapi.ImageSpec{Image: s.imageID}
	s.tap.check("RemoveImage", s.images.RemoveImage(s.ctx, spec), true, "")
	s.tap.check("RemoveImage again", s.images.RemoveImage(s.ctx, spec), true, "")
	left, err := s.images.ListImages(s.ctx, nil)
	s.tap.check("ListImages finds none", err, len(left) == 0, "%v", left)
}

func (s *session) expectCode(name string, want codes.Code, err error) {
	s.tap.check(name+" is "+want.String(), nil, status.Code(err) == want, "%v", err)
}
