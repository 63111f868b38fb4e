package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/trivet-dev/trivet/internal/allinone"
	"github.com/trivet-dev/trivet/platform/serve"
)

// errUnhealthy makes the command exit with status 1.
var errUnhealthy = errors.New("the doctor found errors; each line above says what to do")

func (p program) doctor() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check settings, keys, webhooks, clock, database, disk and ports, and say how to fix what is wrong",
		Long: "Check settings, keys, webhooks, clock, database, disk and ports. It makes read-only calls to the providers, and changes nothing.\n" +
			"What it did not check is listed as not checked, with the reason. The progress goes to standard error.\n" +
			"The exit status is 1 when something does not work, and 0 when there are only warnings.",
		Example: "  trivet doctor\n  TRIVET_ENV=production trivet doctor --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			env := p.env
			if !serve.InProduction(env.Get) {
				var err error
				if env, err = p.env.WithFile(devFile); err != nil {
					return err
				}
			}
			result, err := allinone.Doctor(cmd.Context(), env, allinone.DoctorOptions{
				Progress: p.stderr, Transport: http.DefaultTransport, Now: time.Now, Free: allinone.FreeBytes,
			})
			if err != nil {
				return err
			}
			if err := show(p.stdout, result, asJSON); err != nil {
				return err
			}
			if !result.Healthy {
				return errUnhealthy
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the findings as JSON")
	return cmd
}

// show prints a diagnosis.
func show(to io.Writer, result *allinone.Diagnosis, asJSON bool) error {
	if asJSON {
		encoder := json.NewEncoder(to)
		encoder.SetIndent("", "  ")
		return encoder.Encode(result)
	}
	for _, c := range result.Checks {
		if c.Checked && len(c.Findings) == 0 {
			if _, err := fmt.Fprintf(to, "ok       %s\n", c.Check); err != nil {
				return err
			}
		}
		for _, what := range c.NotChecked {
			if _, err := fmt.Fprintf(to, "-        %s: not checked: %s\n", c.Check, what); err != nil {
				return err
			}
		}
		for _, f := range c.Findings {
			subject := c.Check
			if f.Setting != "" {
				subject = f.Setting
			}
			if _, err := fmt.Fprintf(to, "%-8s %s: %s\n         fix: %s\n", f.Level, subject, f.What, f.Fix); err != nil {
				return err
			}
		}
	}
	return nil
}
