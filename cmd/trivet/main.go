// Command trivet is the all-in-one: three services, the edge, and the operator's commands.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/trivet-dev/trivet/platform/serve"
	"github.com/trivet-dev/trivet/platform/settings"
)

func main() {
	ctx, stop := serve.Signals()
	if len(os.Args) > 1 && (os.Args[1] == "serve" || os.Args[1] == "dev") {
		ctx = serve.WithHangups(ctx) // a closed terminal ends the other commands
	}
	err := run(ctx, os.Args[1:], program{env: settings.Environment(), stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr})
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "trivet:", err)
		os.Exit(exitStatus(err))
	}
}

func run(ctx context.Context, args []string, p program) error {
	root := newRoot(p)
	root.SetArgs(args)
	root.SetOut(p.stdout)
	root.SetErr(p.stderr)
	return root.ExecuteContext(ctx)
}
