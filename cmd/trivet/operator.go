package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/trivet-dev/trivet/internal/allinone"
)

const operatorTimeout = 60 * time.Second

// operator calls the edge as an operator.
type operator struct {
	url, token string
}

func (p program) operator(ctx context.Context) (*operator, error) {
	env, err := p.development()
	if err != nil {
		return nil, err
	}
	s, err := allinone.Operator(env.Get)
	if err != nil {
		return nil, err
	}
	token := s.Token.Reveal()
	if token == "" {
		if token, err = mint(ctx, env.Get, tokenRequest{User: allinone.DevOperator}); err != nil {
			return nil, fmt.Errorf("TRIVET_TOKEN is not set, and the sandbox issued no token either: %w", err)
		}
	}
	return &operator{url: s.URL, token: token}, nil
}

// print writes an answer as indented JSON.
func (o *operator) print(w io.Writer, raw []byte) error {
	var out bytes.Buffer
	if err := json.Indent(&out, raw, "", "  "); err != nil {
		return o.notTrivet(err)
	}
	_, err := fmt.Fprintln(w, out.String())
	return err
}

// notTrivet is the error for an answer that did not come from the edge.
func (o *operator) notTrivet(err error) error {
	return fmt.Errorf("%s is not a Trivet server: %w", o.url, err)
}

// maxAnswer limits an answer, in bytes.
const maxAnswer = 256 << 20

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
		return nil, fmt.Errorf("no Trivet server answers at %s; set TRIVET_URL, or TRIVET_HTTP_ADDR as for the server: %w", o.url, err)
	}
	defer func() { _ = response.Body.Close() }()
	raw, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
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
	// Code is the reason, such as "NOT_FOUND"; empty when the answer did not come from the edge.
	Code string
	// Text is the readable text.
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
		return &refusal{Text: "the edge answered " + status}
	}
	text := answer.Error
	for _, d := range answer.Details {
		if d.Field != "" && !strings.Contains(text, d.Problem) {
			text += fmt.Sprintf(" (%s %s)", d.Field, d.Problem)
		}
	}
	return &refusal{Code: answer.Code, Text: text}
}
