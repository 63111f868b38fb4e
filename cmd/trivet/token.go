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
	"github.com/trivet-dev/trivet/platform/settings"
)

// tokenRequest is the request to the sandbox.
type tokenRequest struct {
	User string `json:"user"`
	Org  string `json:"org,omitempty"`
	Role string `json:"role,omitempty"`
	TTL  string `json:"ttl,omitempty"`
}

const mintTimeout = 10 * time.Second

// isID is true for what auth takes as an id. The events of a user with another one would be dead letters.
func isID(s string) bool {
	return !strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c > '~' })
}

// checkTTL refuses a lifetime that the sandbox would refuse. An empty one is the default.
func checkTTL(ttl string) error {
	if d, err := time.ParseDuration(ttl); ttl != "" && (err != nil || d <= 0) {
		return usagef("--ttl is %q, and must be a positive duration such as 90s or 1h", ttl)
	}
	return nil
}

// mint asks the running sandbox for a token.
func mint(ctx context.Context, getenv func(string) string, ask tokenRequest) (string, error) {
	switch {
	case ask.User == "":
		return "", usagef("--user is required: the id of the user, such as user_alice")
	case !isID(ask.User):
		return "", usagef("--user is %q: an id has printable ASCII characters only, and no spaces", ask.User)
	case !isID(ask.Org):
		return "", usagef("--org is %q: an id has printable ASCII characters only, and no spaces", ask.Org)
	case ask.Role != "" && ask.Org == "":
		return "", usagef("--role is a role in an organization: name it with --org")
	}
	if err := checkTTL(ask.TTL); err != nil {
		return "", err
	}
	var at allinone.SandboxSettings
	if err := settings.Load(getenv, &at); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, mintTimeout)
	defer cancel()
	body, err := json.Marshal(ask)
	if err != nil {
		return "", err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, at.URL()+"/control/clerk/tokens", bytes.NewReader(body))
	if err != nil {
		return "", fmt.Errorf("TRIVET_SANDBOX_ADDR: %w", err)
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", fmt.Errorf("no sandbox answers at %s: start it with `trivet dev` (or `make run`), or point TRIVET_SANDBOX_ADDR to where it is: %w", at.Addr, err)
	}
	defer func() { _ = response.Body.Close() }()
	return readToken(response)
}

func readToken(response *http.Response) (string, error) {
	const limit = 64 << 10
	raw, err := io.ReadAll(io.LimitReader(response.Body, limit))
	if err != nil {
		return "", fmt.Errorf("the sandbox's answer ended early: %w", err)
	}
	var answer struct {
		Token string `json:"token"`
		Error any    `json:"error"`
	}
	if err := json.Unmarshal(raw, &answer); err != nil {
		return "", fmt.Errorf("the server at that address is not a sandbox: %w", err)
	}
	if answer.Token == "" {
		return "", fmt.Errorf("the sandbox refused: %v", answer.Error)
	}
	return answer.Token, nil
}
