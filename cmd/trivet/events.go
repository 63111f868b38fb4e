package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/trivet-dev/trivet/platform/integration"
)

// states lists the states of an event.
var states = []string{"pending", "leased", "done", "dead", "ignored"}

// eventsCommand holds the flags that the subcommands share.
type eventsCommand struct {
	program
	source string
	json   bool
}

func (p program) events() *cobra.Command {
	e := &eventsCommand{program: p}
	cmd := group("events", "Show the webhook inboxes, and redrive dead events (operators)",
		"  trivet events list --state dead\n  trivet events show evt_1jEz5aC1nOR34uvnzORwfQLQ\n  trivet events redrive --state dead",
		e.list(), e.show(), e.redrive())
	flags := cmd.PersistentFlags()
	flags.StringVar(&e.source, "source", "", "show one source only: clerk or stripe (events received), webhook or email (notices sent)")
	flags.BoolVar(&e.json, "json", false, "print the edge's answer as JSON")
	return cmd
}

// eventSource is where events come from or go to.
type eventSource struct {
	name, path string
	// named says that the path has the events of several sources, of which a request names one.
	named bool
}

// query adds the name to a query.
func (s eventSource) query(q url.Values) url.Values {
	asked := maps.Clone(q)
	if s.named {
		asked.Set("source", s.name)
	}
	return asked
}

// event is the path of one event.
func (s eventSource) event(id string) string {
	path := s.path + "/" + url.PathEscape(id)
	if s.named {
		path += "?source=" + s.name
	}
	return path
}

// allSources returns the providers that send webhooks, and what Trivet sends itself.
func allSources() (all []eventSource) {
	for _, i := range integration.WithWebhooks() {
		all = append(all, eventSource{name: i.Name, path: i.EventsPath})
	}
	stripe, _ := integration.Named("stripe")
	for _, name := range []string{"webhook", "email"} {
		all = append(all, eventSource{name: name, path: stripe.EventsPath, named: true})
	}
	return all
}

// sources returns the sources to show.
func (e *eventsCommand) sources() ([]eventSource, error) {
	all := allSources()
	if e.source == "" {
		return all, nil
	}
	i := slices.IndexFunc(all, func(s eventSource) bool { return s.name == e.source })
	if i < 0 {
		return nil, usagef("--source is %s, not %q", sourceNames(all), e.source)
	}
	return all[i : i+1], nil
}

func sourceNames(of []eventSource) string {
	var names []string
	for _, s := range of {
		names = append(names, s.name)
	}
	return strings.Join(names, " or ")
}

// maxListed limits how many items a list prints.
const maxListed = 100_000

func checkLimit(limit int) error {
	if limit < 1 || limit > maxListed {
		return usagef("--limit must be 1 to %d, not %d", maxListed, limit)
	}
	return nil
}

func (e *eventsCommand) list() *cobra.Command {
	var state, kind, subject string
	var since moment
	var limit int
	cmd := &cobra.Command{Use: "list", Short: "List events, newest first", Example: "  trivet events list --source stripe --since 24h", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		query := url.Values{}
		if state != "" {
			if !slices.Contains(states, state) {
				return usagef("--state is one of %s, not %q", strings.Join(states, ", "), state)
			}
			query.Set("state", "EVENT_STATE_"+strings.ToUpper(state))
		}
		if err := checkLimit(limit); err != nil {
			return err
		}
		if kind != "" {
			query.Set("type", kind)
		}
		if subject != "" {
			query.Set("subject", subject)
		}
		if !since.IsZero() {
			query.Set("since", since.UTC().Format(time.RFC3339Nano))
		}
		return e.printList(cmd.Context(), query, limit)
	}}
	flags := cmd.Flags()
	flags.StringVar(&state, "state", "", "only events in this state: "+strings.Join(states, ", "))
	flags.StringVar(&kind, "type", "", "only this type, such as user.updated")
	flags.StringVar(&subject, "subject", "", "only events about this object")
	flags.Var(&since, "since", "only events received since this time, such as 24h, 7d, 2026-11-25 or 2026-11-25T18:00:00Z")
	flags.IntVar(&limit, "limit", 50, "maximum number of events")
	return cmd
}

// printList prints the newest of all sources. A source that does not answer does not hide the other.
func (e *eventsCommand) printList(ctx context.Context, query url.Values, limit int) error {
	sources, err := e.sources()
	if err != nil {
		return err
	}
	o, err := e.operator(ctx)
	if err != nil {
		return err
	}
	var all []event
	more := false
	for _, source := range sources {
		found, rest, listed := o.events(ctx, source.path, source.query(query), limit)
		if listed != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", source.name, listed))
		}
		all, more = append(all, found...), more || rest
	}
	slices.SortStableFunc(all, func(a, b event) int { return b.ReceiveTime.AsTime().Compare(a.ReceiveTime.AsTime()) })
	if len(all) > limit {
		all, more = all[:limit], true
	}
	if len(all) == 0 && err != nil {
		return err
	}
	if e.json {
		return errors.Join(o.printEvents(e.stdout, all), err)
	}
	err = errors.Join(err, printTable(e.stdout, all))
	if more {
		_, _ = fmt.Fprintf(e.stderr, "These are the newest %d; --limit shows more.\n", limit)
	}
	return err
}

func (e *eventsCommand) show() *cobra.Command {
	return &cobra.Command{
		Use:     "show ID",
		Short:   "Show an event: state, attempts, errors, times and the redacted payload",
		Example: "  trivet events show evt_1jEz5aC1nOR34uvnzORwfQLQ",
		Args:    exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			sources, err := e.sources()
			if err != nil {
				return err
			}
			o, err := e.operator(cmd.Context())
			if err != nil {
				return err
			}
			for _, source := range sources {
				raw, err := o.ask(cmd.Context(), http.MethodGet, source.event(args[0]), nil)
				if no := new(refusal); errors.As(err, &no) && no.Code == "NOT_FOUND" {
					continue
				}
				switch {
				case err != nil:
					return fmt.Errorf("%s: %w", source.name, err)
				case e.json:
					return o.print(e.stdout, raw)
				}
				var answer struct{ Event event }
				if err := json.Unmarshal(raw, &answer); err != nil {
					return o.notTrivet(err)
				}
				return answer.Event.print(e.stdout)
			}
			return fmt.Errorf("the event %s from %s was not found", args[0], sourceNames(sources))
		},
	}
}

func (e *eventsCommand) redrive() *cobra.Command {
	var state string
	cmd := &cobra.Command{
		Use:   "redrive ID… | --state dead",
		Short: "Make dead events pending again",
		Long: "Make dead events pending again; their attempts are counted from 0. Other events are skipped.\n" +
			"Redriving is safe: an event that is applied late or twice never overwrites newer data.",
		Example: "  trivet events redrive evt_1jEz5aC1nOR34uvnzORwfQLQ\n  trivet events redrive --state dead",
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case (state == "") == (len(args) == 0):
				return usagef("give the ids of events, or --state dead for all dead ones")
			case state != "" && state != "dead":
				return usagef("--state must be dead: only dead events can be redriven")
			}
			return e.redriveAll(cmd.Context(), args)
		},
	}
	cmd.Flags().StringVar(&state, "state", "", "dead: every dead event")
	return cmd
}

// redriveAll redrives the named events of any source, or all dead events without names.
func (e *eventsCommand) redriveAll(ctx context.Context, ids []string) error {
	sources, err := e.sources()
	if err != nil {
		return err
	}
	o, err := e.operator(ctx)
	if err != nil {
		return err
	}
	var total redriven
	left := ids
	for _, source := range sources {
		if len(ids) > 0 && len(left) == 0 {
			break
		}
		done, err := o.redrive(ctx, source, left)
		if err != nil {
			return fmt.Errorf("%s: after %d events were redriven: %w", source.name, total.Redriven, err)
		}
		total.Redriven += done.Redriven
		left = done.SkippedEventIDs
	}
	total.SkippedEventIDs = left
	if e.json {
		raw, err := json.Marshal(total)
		if err != nil {
			return err
		}
		err = o.print(e.stdout, raw)
		return errors.Join(err, total.skipped())
	}
	_, err = fmt.Fprintf(e.stdout, "%d redriven\n", total.Redriven)
	return errors.Join(err, total.skipped())
}

// redriven is the edge's answer.
type redriven struct {
	Redriven        int      `json:"redriven"`
	SkippedEventIDs []string `json:"skippedEventIds,omitempty"`
}

// skipped is an error when a named event was not redriven.
func (r redriven) skipped() error {
	if len(r.SkippedEventIDs) == 0 {
		return nil
	}
	return fmt.Errorf("not dead or unknown, and skipped: %s", strings.Join(r.SkippedEventIDs, ", "))
}

// maxRedriven is how many ids one request may contain.
const maxRedriven = 1000

// redrive redrives the named events of one source, or all dead events without names.
func (o *operator) redrive(ctx context.Context, source eventSource, ids []string) (total redriven, err error) {
	requests := []map[string]any{{"allDead": true}}
	if len(ids) > 0 {
		requests = nil
		for chunk := range slices.Chunk(ids, maxRedriven) {
			requests = append(requests, map[string]any{"eventIds": chunk})
		}
	}
	for _, request := range requests {
		if source.named {
			request["source"] = source.name
		}
		raw, err := o.ask(ctx, http.MethodPost, source.path+":redrive", request)
		if err != nil {
			return total, err
		}
		var done redriven
		if err := json.Unmarshal(raw, &done); err != nil {
			return total, o.notTrivet(err)
		}
		total.Redriven += done.Redriven
		total.SkippedEventIDs = append(total.SkippedEventIDs, done.SkippedEventIDs...)
	}
	return total, nil
}
