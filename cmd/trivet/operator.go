package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/trivet-dev/trivet/internal/allinone"
	"github.com/trivet-dev/trivet/platform/settings"
)

const operatorTimeout = 60 * time.Second

// operator calls the edge as an operator.
type operator struct {
	url, token string
}

func (p program) operator(ctx context.Context) (*operator, error) {
	getenv, err := settings.DevFile(devFile, p.getenv)
	if err != nil {
		return nil, err
	}
	var s allinone.OperatorSettings
	if err := settings.Load(getenv, &s); err != nil {
		return nil, err
	}
	token := s.Token.Reveal()
	if token == "" {
		if token, err = mint(ctx, getenv, tokenRequest{User: allinone.DevOperator}); err != nil {
			return nil, fmt.Errorf("TRIVET_TOKEN is not set, and the sandbox gave no token either: %w", err)
		}
	}
	return &operator{url: s.URL, token: token}, nil
}

// call sends a request and writes the answer as indented JSON.
func (o *operator) call(ctx context.Context, w io.Writer, method, path string) error {
	raw, err := o.ask(ctx, method, path, nil)
	if err != nil {
		return err
	}
	return o.print(w, raw)
}

// print writes an answer as indented JSON.
func (o *operator) print(w io.Writer, raw []byte) error {
	var out bytes.Buffer
	if err := json.Indent(&out, raw, "", "  "); err != nil {
		return fmt.Errorf("what answers at %s is no Trivet: %w", o.url, err)
	}
	_, err := fmt.Fprintln(w, out.String())
	return err
}

// ask sends a request and returns the answer's body. Errors: *refusal.
func (o *operator) ask(ctx context.Context, method, path string, body any) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, operatorTimeout)
	defer cancel()
	var reader io.Reader = http.NoBody
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		reader = bytes.NewReader(raw)
	}
	request, err := http.NewRequestWithContext(ctx, method, o.url+path, reader)
	if err != nil {
		return nil, fmt.Errorf("TRIVET_URL: %w", err)
	}
	request.Header.Set("Authorization", "Bearer "+o.token)
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, fmt.Errorf("no Trivet answers at %s; set TRIVET_URL: %w", o.url, err)
	}
	defer func() { _ = response.Body.Close() }()
	raw, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, refused(response.Status, raw)
	}
	return raw, nil
}

// refusal is the edge's error.
type refusal struct {
	// Code is such as "NOT_FOUND"; empty when it was not the edge that answered.
	Code string
	// Text is for people.
	Text string
}

// Error returns the text.
func (r *refusal) Error() string { return r.Text }

func refused(status string, raw []byte) error {
	var answer struct {
		Error, Code string
		Details     []struct{ Field, Problem string }
	}
	if json.Unmarshal(raw, &answer) != nil || answer.Error == "" {
		return &refusal{Text: "the edge answers " + status}
	}
	text := answer.Error
	for _, d := range answer.Details {
		if d.Field != "" {
			text += fmt.Sprintf(" (%s %s)", d.Field, d.Problem)
		}
	}
	return &refusal{Code: answer.Code, Text: text}
}

func (p program) users() *cobra.Command {
	cmd := &cobra.Command{Use: "users", Short: "Look at people, export or erase what is kept of them (operators)"}
	cmd.AddCommand(
		&cobra.Command{Use: "show ID", Short: "Show one user", Args: cobra.ExactArgs(1), RunE: func(cmd *cobra.Command, args []string) error {
			return p.operate(cmd.Context(), http.MethodGet, "/api/v1/users/"+url.PathEscape(args[0]))
		}},
		&cobra.Command{Use: "export ID", Short: "Give a person's data as JSON", Args: cobra.ExactArgs(1), RunE: func(cmd *cobra.Command, args []string) error {
			return p.operate(cmd.Context(), http.MethodGet, "/api/v1/users/"+url.PathEscape(args[0])+":export")
		}},
		&cobra.Command{Use: "erase ID", Short: "Erase a person from every service; goes on until each has confirmed", Args: cobra.ExactArgs(1), RunE: func(cmd *cobra.Command, args []string) error {
			return p.operate(cmd.Context(), http.MethodPost, "/api/v1/users/"+url.PathEscape(args[0])+":erase")
		}},
		&cobra.Command{Use: "erasures", Short: "List the record of erasures", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
			return p.operate(cmd.Context(), http.MethodGet, "/api/v1/erasures")
		}},
	)
	return cmd
}

func (p program) operate(ctx context.Context, method, path string) error {
	o, err := p.operator(ctx)
	if err != nil {
		return err
	}
	return o.call(ctx, p.stdout, method, path)
}
