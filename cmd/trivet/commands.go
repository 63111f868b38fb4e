package main

import (
	"fmt"
	"io"
	"net/url"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"github.com/trivet-dev/trivet/internal/allinone"
	"github.com/trivet-dev/trivet/platform/serve"
	"github.com/trivet-dev/trivet/platform/settings"
)

const devFile = serve.DevFile

// program holds what every command needs.
type program struct {
	env            settings.Env
	stdin          io.Reader
	stdout, stderr io.Writer
}

func newRoot(p program) *cobra.Command {
	root := group("trivet", "Who is calling, what the model did, what it costs", "  trivet dev\n  trivet token --user user_alice --ttl 1h",
		p.dev(), p.serve(), p.token(), p.migrate(), p.keys(), p.sandbox(), p.ready(), p.users(), p.apiKeys(), p.events(), p.reconcile(), p.plans(), p.billing(), p.ledger(), p.doctor(), p.backup(), p.restore(), p.version())
	root.Long = "Trivet is the back end of AI products: who is calling (Clerk), what the model did (OpenAI), what it costs (Stripe).\n" +
		"Settings are environment variables; docs/settings.md lists them. In development they may also be in .dev.vars.\n" +
		"The exit status is 0 on success, 1 when the command fails or a check finds a fault, and 2 when the command line is wrong."
	root.Version = serve.Version()
	root.SilenceUsage, root.SilenceErrors = true, true
	root.SetFlagErrorFunc(explainFlag)
	root.SetHelpCommand(help())
	checkUsage(root)
	root.SetVersionTemplate("{{.Name}} {{.Version}}\n")
	return root
}

// group makes a command that only has subcommands. Cobra would print the help for an unknown one and succeed.
func group(use, short, example string, subcommands ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Example: example, Args: cobra.ArbitraryArgs, RunE: func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return cmd.Help()
		}
		return unknownCommand(cmd, args[0])
	}}
	cmd.SuggestionsMinimumDistance = 2
	cmd.AddCommand(subcommands...)
	return cmd
}

func unknownCommand(of *cobra.Command, name string) error {
	text := fmt.Sprintf("unknown command %q for %q", name, of.CommandPath())
	if near := of.SuggestionsFor(name); len(near) > 0 {
		text += "; did you mean " + strings.Join(near, " or ") + "?"
	}
	return usagef("%s\nRun '%s --help' for the list", text, of.CommandPath())
}

// help replaces Cobra's command, which prints the general help for an unknown command and succeeds.
func help() *cobra.Command {
	return &cobra.Command{Use: "help [COMMAND]", Short: "Print the help of a command", Example: "  trivet help events list", RunE: func(cmd *cobra.Command, args []string) error {
		of, rest, err := cmd.Root().Find(args)
		switch {
		case err != nil:
			return usageError{err}
		case len(rest) > 0:
			return unknownCommand(of, rest[0])
		}
		of.InitDefaultHelpFlag()
		of.InitDefaultVersionFlag()
		return of.Help()
	}}
}

// development returns the settings with those of .dev.vars below them. A mistake in that file is an error.
func (p program) development() (settings.Env, error) {
	env, err := p.env.WithFile(devFile)
	if err != nil {
		return env, err
	}
	return env, serve.KnowTargets(env).Refused()
}

func (p program) dev() *cobra.Command {
	var allowPublic bool
	cmd := &cobra.Command{
		Use:     "dev",
		Short:   "Start everything on this machine; the sandbox stands in for every provider whose settings are absent",
		Example: "  trivet dev\n  TRIVET_HTTP_ADDR=127.0.0.1:3001 trivet dev\n  TRIVET_HTTP_ADDR=0.0.0.0:8080 trivet dev --allow-public",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			env, err := p.env.WithFile(devFile)
			if err != nil {
				return err
			}
			return allinone.Dev(cmd.Context(), env, allinone.DevOptions{AllowPublic: allowPublic, Stdout: p.stdout, Stderr: p.stderr})
		},
	}
	cmd.Flags().BoolVar(&allowPublic, "allow-public", false, "allow addresses that other machines can reach; anyone who reaches them can act as any user")
	return cmd
}

func (p program) serve() *cobra.Command {
	return &cobra.Command{
		Use:   "serve",
		Short: "Start everything for production; refuses missing, malformed and published settings and names all of them",
		Example: "  trivet serve\n" +
			"  CLERK_SECRET_KEY_FILE=/run/secrets/clerk TRIVET_HTTP_ADDR=0.0.0.0:8080 trivet serve",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return allinone.Serve(cmd.Context(), p.env, p.stderr)
		},
	}
}

func (p program) migrate() *cobra.Command {
	return &cobra.Command{ //nolint:gosec // the password in the example is a placeholder
		Use:     "migrate",
		Short:   "Apply the migrations of all services to DATABASE_URL",
		Example: "  DATABASE_URL=postgres://trivet:PASSWORD@db.internal/trivet trivet migrate",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return allinone.Migrate(cmd.Context(), p.env, p.stderr)
		},
	}
}

func (p program) ledger() *cobra.Command {
	verify := &cobra.Command{
		Use:   "verify",
		Short: "Check every balance, grant, hold and sum of the ledger in DATABASE_URL; exit 1 if one differs",
		Long: "Check every rule of the ledger in one consistent view of DATABASE_URL, and print a line for each difference. It only reads,\n" +
			"so it may run while Trivet serves.",
		Example: "  trivet ledger verify",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return allinone.VerifyLedger(cmd.Context(), p.env, p.stdout)
		},
	}
	return group("ledger", "Check the ledger", "  trivet ledger verify", verify)
}

func (p program) keys() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "keys",
		Short: "Generate the secrets that the processes of split mode share",
		Long: "Generate the secrets that the processes of split mode share, and print them as lines of an environment file.\n" +
			"With --dir they are written to files instead: DIR/private for auth alone, DIR/shared for every process, DIR/sandbox for\n" +
			"the sandbox and the services that take its webhooks. Files that exist are kept.",
		Example: "  trivet keys > keys.env\n  trivet keys --dir /keys",
		Args:    cobra.NoArgs,
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
				_, err = fmt.Fprintln(p.stdout, "generated the keys in", dir)
			} else {
				_, err = fmt.Fprintln(p.stdout, "keys already exist in", dir)
			}
			return err
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "write files under this folder instead of printing")
	cmd.AddCommand(p.rotate())
	return cmd
}

func (p program) sandbox() *cobra.Command {
	return &cobra.Command{
		Use:     "sandbox",
		Short:   "Start only the sandbox, the stand-in for Clerk, OpenAI and Stripe; for split mode without accounts",
		Example: "  trivet sandbox\n  TRIVET_SANDBOX_EDGE_URL=http://127.0.0.1:8080 trivet sandbox",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return allinone.Sandbox(cmd.Context(), p.env, p.stderr)
		},
	}
}

func (p program) ready() *cobra.Command {
	return &cobra.Command{
		Use:     "ready URL",
		Short:   "Ask a health address, and exit with status 1 if it is unhealthy",
		Example: "  trivet ready http://127.0.0.1:9091/readyz",
		Args:    exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if u, err := url.Parse(args[0]); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
				return usagef("%q is not an address such as http://127.0.0.1:9091/readyz", args[0])
			}
			return probe(cmd.Context(), args[0])
		},
	}
}

func (p program) version() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Example: "  trivet version",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintf(p.stdout, "trivet %s (%s, %s/%s)\n", serve.Version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return err
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
			env, err := p.development()
			if err != nil {
				return err
			}
			token, err := mint(cmd.Context(), env.Get, ask)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(p.stdout, token)
			return err
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&ask.User, "user", "", "user id (required); the sandbox creates a user that it does not have")
	flags.StringVar(&ask.Org, "org", "", "id of the active organization")
	flags.StringVar(&ask.Role, "role", "", "role in the organization, such as admin or member")
	flags.StringVar(&ask.TTL, "ttl", "", "lifetime of the token, such as 90s or 1h (default: Clerk's 60s)")
	return cmd
}
