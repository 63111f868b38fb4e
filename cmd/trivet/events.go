package main

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// sources are the inboxes, by the provider whose events they hold.
var sources = map[string]string{"clerk": "/api/v1/auth/events", "stripe": "/api/v1/billing/events"}

func (p program) events() *cobra.Command {
	var source string
	cmd := &cobra.Command{Use: "events", Short: "Look at the webhook inboxes, and redrive what died in them (operators)"}
	cmd.PersistentFlags().StringVar(&source, "source", "clerk", "whose events: clerk or stripe")
	base := func() (string, error) {
		path, ok := sources[source]
		if !ok {
			return "", fmt.Errorf("--source is clerk or stripe, not %q", source)
		}
		return path, nil
	}
	cmd.AddCommand(p.listEvents(base), p.showEvent(base), p.redriveEvents(base))
	return cmd
}

func (p program) listEvents(base func() (string, error)) *cobra.Command {
	var state, kind, subject string
	var since time.Duration
	cmd := &cobra.Command{Use: "list", Short: "List events, newest first", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		path, err := base()
		if err != nil {
			return err
		}
		query := url.Values{}
		if state != "" {
			query.Set("state", "EVENT_STATE_"+strings.ToUpper(state))
		}
		if kind != "" {
			query.Set("type", kind)
		}
		if subject != "" {
			query.Set("subject", subject)
		}
		if since > 0 {
			query.Set("since", time.Now().Add(-since).UTC().Format(time.RFC3339))
		}
		if len(query) > 0 {
			path += "?" + query.Encode()
		}
		return p.operate(cmd.Context(), http.MethodGet, path, nil)
	}}
	flags := cmd.Flags()
	flags.StringVar(&state, "state", "", "only these: pending, leased, done, dead or ignored")
	flags.StringVar(&kind, "type", "", "only this type, such as user.updated")
	flags.StringVar(&subject, "subject", "", "only events about this object")
	flags.DurationVar(&since, "since", 0, "only events received within this time, such as 24h")
	return cmd
}

func (p program) showEvent(base func() (string, error)) *cobra.Command {
	return &cobra.Command{Use: "show ID", Short: "Show one event, its payload redacted", Args: cobra.ExactArgs(1), RunE: func(cmd *cobra.Command, args []string) error {
		path, err := base()
		if err != nil {
			return err
		}
		return p.operate(cmd.Context(), http.MethodGet, path+"/"+url.PathEscape(args[0]), nil)
	}}
}

func (p program) redriveEvents(base func() (string, error)) *cobra.Command {
	var state string
	cmd := &cobra.Command{Use: "redrive ID… | --state dead", Short: "Make dead events pending again", RunE: func(cmd *cobra.Command, args []string) error {
		path, err := base()
		if err != nil {
			return err
		}
		if (state == "") == (len(args) == 0) {
			return fmt.Errorf("name the events, or all dead ones by --state dead")
		}
		if state != "" && state != "dead" {
			return fmt.Errorf("--state can only be dead: nothing else is redriven")
		}
		return p.operate(cmd.Context(), http.MethodPost, path+":redrive", map[string]any{"eventIds": args, "allDead": state == "dead"})
	}}
	cmd.Flags().StringVar(&state, "state", "", "dead: every dead event")
	return cmd
}
