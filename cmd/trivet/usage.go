package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

// usageError says that the command line is wrong: nothing was tried.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// usagef is a usageError without a cause.
func usagef(format string, args ...any) error {
	return usageError{fmt.Errorf(format, args...)}
}

// exitStatus is 2 for a wrong command line, so that scripts can tell it from a check that failed.
func exitStatus(err error) int {
	if wrong := (usageError{}); errors.As(err, &wrong) {
		return 2
	}
	return 1
}

// exactly wants n arguments that are not empty, as an unset variable of a shell is. The error shows what each of them is.
func exactly(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == n {
			for i, arg := range args {
				if strings.TrimSpace(arg) == "" {
					return fmt.Errorf("%s got an empty argument at position %d\nUsage: %s", cmd.CommandPath(), i+1, cmd.UseLine())
				}
			}
			return nil
		}
		noun := "arguments"
		if n == 1 {
			noun = "argument"
		}
		return fmt.Errorf("%s needs %d %s, got %d\nUsage: %s", cmd.CommandPath(), n, noun, len(args), cmd.UseLine())
	}
}

// explainFlag names the help of the command, and says what a number or a boolean must be.
func explainFlag(cmd *cobra.Command, err error) error {
	if number := new(strconv.NumError); errors.As(err, &number) {
		problem := "a whole number is needed"
		switch {
		case number.Func == "ParseBool":
			problem = "write true or false"
		case errors.Is(number.Err, strconv.ErrRange):
			problem = "the number is too large or too small"
		}
		return usagef("%s\nRun '%s --help' for the flags", strings.Replace(err.Error(), number.Error(), problem, 1), cmd.CommandPath())
	}
	return usagef("%w\nRun '%s --help' for the flags", err, cmd.CommandPath())
}

// checkUsage makes every refusal of arguments a usageError.
func checkUsage(cmd *cobra.Command) {
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				return usageError{err}
			}
			return nil
		}
	}
	for _, sub := range cmd.Commands() {
		checkUsage(sub)
	}
}
