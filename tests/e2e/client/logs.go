package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// logLine is the CRI's format: time, stream, F for a full line or P for a part, text.
var logLine = regexp.MustCompile(`^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{9}(Z|[+-]\d{2}:\d{2}) (stdout|stderr) [FP] (.*)$`)

// logs reads what the container wrote, and rotates its log as the kubelet does.
func (s *session) logs() {
	path := filepath.Join(s.opts.logDirectory, "main", "0.log")
	texts := map[string]string{}
	// The two lines were written before the execs; only the disk may be a moment behind.
	for deadline := time.Now().Add(30 * time.Second); len(texts) < 2 && time.Now().Before(deadline); {
		content, err := os.ReadFile(path)
		if err == nil {
			for _, line := range strings.Split(strings.TrimSuffix(string(content), "\n"), "\n") {
				if parts := logLine.FindStringSubmatch(line); parts != nil {
					texts[parts[2]] = parts[3]
				}
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
	s.tap.check("the log has both streams in the CRI format", nil,
		texts["stdout"] == "hello from e2e-host" && texts["stderr"] == "oops", "%v", texts)
	rotated := path + ".1"
	err := os.Rename(path, rotated)
	s.tap.check("the log can be moved away", err, true, "")
	s.tap.check("ReopenContainerLog", s.runtime.ReopenContainerLog(s.ctx, s.container), true, "")
	_, err = os.Stat(path)
	s.tap.check("ReopenContainerLog makes a new log", err, true, "")
	s.tap.check("ReopenContainerLog again", s.runtime.ReopenContainerLog(s.ctx, s.container), true, "")
	old, err := os.ReadFile(rotated)
	s.tap.check("the old log is whole", err, strings.Contains(string(old), "hello from e2e-host"), "%q", old)
}
