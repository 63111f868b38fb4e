package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
)

func (p program) users() *cobra.Command {
	return group("users", "Show, export and erase users (operators)",
		"  trivet users list\n  trivet users export user_alice > alice.json\n  trivet users erase user_alice",
		p.listUsers(), p.showUser(), p.exportUser(), p.eraseUser(), p.erasures())
}

func (p program) listUsers() *cobra.Command {
	var email string
	var limit int
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List users",
		Example: "  trivet users list\n  trivet users list --email alice@example.com --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			query := url.Values{}
			if email != "" {
				query.Set("email", email)
			}
			return p.printPages(cmd.Context(), pages{path: "/api/v1/users", query: query, field: "users", limit: limit, asJSON: asJSON, columns: []column{
				{"ID", "id"}, {"EMAIL", "primaryEmail"}, {"FIRST NAME", "firstName"}, {"LAST NAME", "lastName"}, {"CREATED", "createTime"},
			}})
		},
	}
	cmd.Flags().StringVar(&email, "email", "", "only users with this email address")
	cmd.Flags().IntVar(&limit, "limit", 50, "maximum number of users")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the edge's answer as JSON")
	return cmd
}

func (p program) showUser() *cobra.Command {
	return &cobra.Command{
		Use: "show ID", Short: "Show a user", Example: "  trivet users show user_alice", Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.print(cmd.Context(), http.MethodGet, userPath(args[0]))
		},
	}
}

func (p program) exportUser() *cobra.Command {
	return &cobra.Command{
		Use: "export ID", Short: "Print everything that is stored about a user, as one JSON document",
		Example: "  trivet users export user_alice > alice.json", Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o, err := p.operator(cmd.Context())
			if err != nil {
				return err
			}
			document, err := o.export(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return o.print(p.stdout, document)
		},
	}
}

func (p program) erasures() *cobra.Command {
	var limit int
	var asJSON bool
	cmd := &cobra.Command{
		Use: "erasures", Short: "List the erasures of users, newest first", Example: "  trivet users erasures", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.printPages(cmd.Context(), pages{path: "/api/v1/erasures", field: "erasures", limit: limit, asJSON: asJSON, columns: []column{
				{"USER", "userId"}, {"REQUESTED", "requestTime"}, {"CONFIRMED BY", "confirmedBy"}, {"COMPLETED", "completeTime"},
			}})
		},
	}
	cmd.Flags().IntVar(&limit, "limit", 50, "maximum number of erasures")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the edge's answer as JSON")
	return cmd
}

func (p program) eraseUser() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "erase ID",
		Short: "Erase a user from every service; this cannot be undone",
		Long: "Erase a user from every service. This cannot be undone. The command shows what will be erased and asks for the id as a\n" +
			"confirmation; --yes skips the question. The erasure continues in the background until every service has confirmed it.",
		Example: "  trivet users erase user_alice\n  trivet users erase user_alice --yes",
		Args:    exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.erase(cmd.Context(), args[0], yes)
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask for confirmation")
	return cmd
}

// errNotConfirmed ends an erasure that was not confirmed.
var errNotConfirmed = errors.New("not confirmed; nothing was erased. Type the id exactly, or give --yes in a script")

// erase erases a known user, after a preview and a confirmation.
func (p program) erase(ctx context.Context, id string, yes bool) error {
	o, err := p.operator(ctx)
	if err != nil {
		return err
	}
	document, err := o.export(ctx, id)
	if err != nil {
		if no := new(refusal); errors.As(err, &no) && no.Code == "NOT_FOUND" {
			return fmt.Errorf("there is no user %q; nothing was erased", id)
		}
		return err
	}
	if err := preview(p.stderr, id, document); err != nil {
		return o.notTrivet(err)
	}
	if !yes {
		if _, err := fmt.Fprintf(p.stderr, "\nThis cannot be undone. Type the id %s to confirm: ", id); err != nil {
			return err
		}
		answer, err := bufio.NewReader(io.LimitReader(p.stdin, int64(len(id))+2)).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if strings.TrimRight(answer, "\r\n") != id {
			return errNotConfirmed
		}
	}
	raw, err := o.ask(ctx, http.MethodPost, userPath(id)+":erase", nil)
	if err != nil {
		return err
	}
	return o.print(p.stdout, raw)
}

// preview shows who a user is and how much is stored about them.
func preview(w io.Writer, id string, document []byte) error {
	var stored map[string]json.RawMessage
	if err := json.Unmarshal(document, &stored); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(w, "Everything about %s will be erased:\n", id); err != nil {
		return err
	}
	for _, service := range slices.Sorted(maps.Keys(stored)) {
		var parts map[string]json.RawMessage
		if json.Unmarshal(stored[service], &parts) != nil {
			continue
		}
		for _, name := range slices.Sorted(maps.Keys(parts)) {
			if _, err := fmt.Fprintf(w, "  %-8s %-14s %s\n", service, name, amount(parts[name])); err != nil {
				return err
			}
		}
	}
	return nil
}

// amount summarizes a part of an export: the number of items in a list, or the email address of a user.
func amount(part json.RawMessage) string {
	var list []json.RawMessage
	if json.Unmarshal(part, &list) == nil {
		return strconv.Itoa(len(list))
	}
	var user struct{ PrimaryEmail, FirstName, LastName string }
	if json.Unmarshal(part, &user) == nil {
		return strings.TrimSpace(strings.Join([]string{user.FirstName, user.LastName, user.PrimaryEmail}, " "))
	}
	return string(bytes.TrimSpace(part))
}

// export returns everything that is stored about a user. An older edge wraps it as text in a field.
func (o *operator) export(ctx context.Context, id string) ([]byte, error) {
	raw, err := o.ask(ctx, http.MethodGet, userPath(id)+":export", nil)
	if err != nil {
		return nil, err
	}
	var wrapped struct{ JSON string }
	if err := json.Unmarshal(raw, &wrapped); err != nil {
		return nil, o.notTrivet(err)
	}
	if wrapped.JSON != "" {
		return []byte(wrapped.JSON), nil
	}
	return raw, nil
}

func userPath(id string) string { return "/api/v1/users/" + url.PathEscape(id) }

// print shows the edge's answer to a request.
func (p program) print(ctx context.Context, method, path string) error {
	o, err := p.operator(ctx)
	if err != nil {
		return err
	}
	raw, err := o.ask(ctx, method, path, nil)
	if err != nil {
		return err
	}
	return o.print(p.stdout, raw)
}

// column is a column of a table and the field that it shows.
type column struct{ title, field string }

// pages is a paged list of the edge.
type pages struct {
	path, field string
	query       url.Values
	limit       int
	asJSON      bool
	columns     []column
}

// printPages prints the first items of a list, as a table or as JSON.
func (p program) printPages(ctx context.Context, of pages) error {
	if err := checkLimit(of.limit); err != nil {
		return err
	}
	o, err := p.operator(ctx)
	if err != nil {
		return err
	}
	items, more, err := o.items(ctx, of)
	if err != nil {
		return err
	}
	if of.asJSON {
		raw, err := json.Marshal(map[string]any{of.field: items})
		if err != nil {
			return err
		}
		return o.print(p.stdout, raw)
	}
	table := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	titles := make([]string, 0, len(of.columns))
	for _, c := range of.columns {
		titles = append(titles, c.title)
	}
	_, _ = fmt.Fprintln(table, strings.Join(titles, "\t"))
	for _, item := range items {
		cells := make([]string, 0, len(of.columns))
		for _, c := range of.columns {
			cells = append(cells, cell(item[c.field]))
		}
		_, _ = fmt.Fprintln(table, strings.Join(cells, "\t"))
	}
	if err := table.Flush(); err != nil { // the writer's first error
		return err
	}
	if more {
		_, _ = fmt.Fprintf(p.stderr, "These are the first %d; --limit shows more.\n", of.limit)
	}
	return nil
}

// cell is a field's text in a table. A tab or a line break in a name must not break the table.
func cell(raw json.RawMessage) string {
	var text string
	var words []string
	switch {
	case json.Unmarshal(raw, &text) == nil:
	case json.Unmarshal(raw, &words) == nil:
		text = strings.Join(words, ", ")
	default:
		text = string(raw)
	}
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, text)
	if text == "" {
		return "-"
	}
	return text
}

// items reads the first items of a list, page by page, and reports whether there are more.
func (o *operator) items(ctx context.Context, of pages) (all []map[string]json.RawMessage, more bool, err error) {
	asked := url.Values{}
	maps.Copy(asked, of.query)
	all = []map[string]json.RawMessage{}
	for {
		asked.Set("pageSize", strconv.Itoa(min(of.limit-len(all), maxPageSize)))
		raw, err := o.ask(ctx, http.MethodGet, of.path+"?"+asked.Encode(), nil)
		if err != nil {
			return nil, false, err
		}
		var page map[string]json.RawMessage
		var items []map[string]json.RawMessage
		var next string
		if err := json.Unmarshal(raw, &page); err != nil {
			return nil, false, o.notTrivet(err)
		}
		if err := errors.Join(optional(page[of.field], &items), optional(page["nextPageToken"], &next)); err != nil {
			return nil, false, o.notTrivet(err)
		}
		all = append(all, items...)
		if next == "" || len(all) >= of.limit {
			return all, next != "", nil
		}
		asked.Set("pageToken", next)
	}
}

// optional decodes a field that may be absent.
func optional(raw json.RawMessage, into any) error {
	if len(raw) == 0 {
		return nil
	}
	return json.Unmarshal(raw, into)
}
