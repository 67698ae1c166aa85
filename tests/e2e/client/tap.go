package main

import (
	"errors"
	"fmt"
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
