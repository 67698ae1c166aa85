package main

import (
	"errors"
	"fmt"
	"time"
)

// tap counts checks and prints them in the Test Anything Protocol.
type tap struct {
	count, failed int
}

// check passes if there is no error and the answer is right; what was seen is printed if not.
func (t *tap) check(name string, err error, right bool, format string, seen ...any) {
	t.count++
	if err == nil && right {
		fmt.Printf("ok %d - %s\n", t.count, name)
		return
	}
	t.failed++
	fmt.Printf("not ok %d - %s\n", t.count, name)
	if err != nil {
		fmt.Printf("# error: %q\n", err.Error())
	}
	fmt.Printf("# seen: %q\n", fmt.Sprintf(format, seen...))
}

// end prints the plan and tells whether every check passed.
func (t *tap) end() bool {
	fmt.Printf("1..%d\n# %d passed, %d failed\n", t.count, t.count-t.failed, t.failed)
	return t.failed == 0
}

// asExit finds the exit status that the client library wraps into its error.
func asExit(err error, exit *interface{ ExitStatus() int }) bool {
	return err != nil && errors.As(err, exit)
}

// figure prints how fast bytes went there and back; it passes no judgement.
func (t *tap) figure(what string, bytes int64, took time.Duration) {
	fmt.Printf("# %s: %d MiB there and back in %.1f s, %.0f MiB/s\n", what, bytes>>20, took.Seconds(),
		float64(bytes>>20)/took.Seconds())
}
