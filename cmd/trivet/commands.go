package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/trivet-dev/trivet/internal/allinone"
	"github.com/trivet-dev/trivet/platform/settings"
)

// devFile holds development's settings; it is read in development only.
const devFile = ".dev.vars"

// program is what every command works with.
type program struct {
	getenv         func(string) string
	stdout, stderr io.Writer
}

func newRoot(p program) *cobra.Command {
	root := &cobra.Command{
		Use:   "trivet",
		Short: "Who is calling, what the model did, what it costs",
		Long: "Trivet is the three-legged stand under an AI product: who is calling (Clerk), what the model did (OpenAI),\n" +
			"what it costs (Stripe). Settings are environment variables; docs/settings.md lists them.",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(p.dev(), p.serve(), p.token(), p.migrate(), p.keys(), p.sandbox(), p.ready(), p.users(), p.events(), p.reconcile())
	return root
}

func (p program) dev() *cobra.Command {
	return &cobra.Command{
		Use:   "dev",
		Short: "Start everything on this machine; the sandbox stands in for every provider whose settings are absent",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			getenv, err := settings.DevFile(devFile, p.getenv)
			if err != nil {
				return err
			}
			return allinone.Dev(cmd.Context(), getenv, p.stderr)
		},
	}
}

func (p program) serve() *cobra.Command {
	return &cobra.Command{
		Use:   "serve",
		Short: "Start everything for production; refuses to start on a missing or malformed setting and names all of them",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return allinone.Serve(cmd.Context(), p.getenv, p.stderr)
		},
	}
}

func (p program) migrate() *cobra.Command {
	return &cobra.Command{
		Use:   "migrate",
		Short: "Apply the migrations of all services to DATABASE_URL",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return allinone.Migrate(cmd.Context(), p.getenv, p.stderr)
		},
	}
}

func (p program) keys() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "keys",
		Short: "Make the secrets that the processes of split mode share",
		Long: "Make the secrets that the processes of split mode share, and print them as lines of an environment file.\n" +
			"With --dir they are written to files instead (DIR/private for auth alone, DIR/shared for every process);\n" +
			"where the files stand already, nothing changes.",
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			made, err := newInstallation()
			if err != nil {
				return err
			}
			if dir == "" {
				return made.print(p.stdout)
			}
			fresh, err := made.save(dir)
			if err != nil {
				return err
			}
			if fresh {
				_, err = fmt.Fprintln(p.stdout, "made the keys in", dir)
			} else {
				_, err = fmt.Fprintln(p.stdout, "the keys in", dir, "stand already")
			}
			return err
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "write files under this folder instead of printing")
	return cmd
}

func (p program) sandbox() *cobra.Command {
	return &cobra.Command{
		Use:   "sandbox",
		Short: "Start only the sandbox, the stand-in for Clerk, OpenAI and Stripe; for split mode without accounts",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return allinone.Sandbox(cmd.Context(), p.getenv, p.stderr)
		},
	}
}

func (p program) ready() *cobra.Command {
	return &cobra.Command{
		Use:   "ready URL",
		Short: "Ask a health address, such as http://127.0.0.1:9091/readyz, and exit with 1 when it is not well",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return probe(cmd.Context(), args[0])
		},
	}
}

func (p program) token() *cobra.Command {
	var ask tokenRequest
	cmd := &cobra.Command{
		Use:     "token --user USER",
		Short:   "Print a session token of the sandbox's Clerk, for trivet dev",
		Example: "  trivet token --user user_alice\n  trivet token --user user_alice --org org_acme --role admin --ttl 1h",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			getenv, err := settings.DevFile(devFile, p.getenv)
			if err != nil {
				return err
			}
			token, err := mint(cmd.Context(), getenv, ask)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(p.stdout, token)
			return err
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&ask.User, "user", "", "the user's id; the sandbox makes the user when it has none of this id")
	flags.StringVar(&ask.Org, "org", "", "the active organization's id")
	flags.StringVar(&ask.Role, "role", "", "the role in the organization, such as admin or member")
	flags.StringVar(&ask.TTL, "ttl", "", "how long the token lives, such as 90s or 1h (default: Clerk's 60s)")
	if err := cmd.MarkFlagRequired("user"); err != nil {
		panic(err) // the flag is defined three lines above
	}
	return cmd
}
