package main

import (
	"net/http"
	"net/url"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func (p program) apiKeys() *cobra.Command {
	cmd := group("apikeys", "Show and change the API keys of the account of TRIVET_TOKEN",
		"  trivet apikeys list\n  trivet apikeys update key_2abc --requests-per-minute 60", p.listAPIKeys(), p.updateAPIKey())
	cmd.Long = "Show and change the API keys of an account. TRIVET_TOKEN says which: it is a session token of an admin of the account, or an API key\n" +
		"of the account with the scope keys.manage."
	return cmd
}

func (p program) listAPIKeys() *cobra.Command {
	var limit int
	var asJSON bool
	cmd := &cobra.Command{
		Use: "list", Short: "List API keys with their limits, newest first; 0 means the plan's limit", Example: "  trivet apikeys list", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.printPages(cmd.Context(), pages{path: "/api/v1/apiKeys", field: "apiKeys", limit: limit, asJSON: asJSON, columns: []column{
				{"ID", "id"},
				{"NAME", "name"},
				{"REQUESTS/MIN", "requestsPerMinute"},
				{"REQUESTS/DAY", "requestsPerDay"},
				{"TOKENS/MIN", "tokensPerMinute"},
				{"STREAMS", "concurrentStreams"},
				{"LAST USED", "lastUseTime"},
				{"REVOKED", "revokeTime"},
			}})
		},
	}
	cmd.Flags().IntVar(&limit, "limit", 50, "maximum number of API keys")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the edge's answer as JSON")
	return cmd
}

// keyFlags are the flags of limits and their fields.
func keyFlags() map[string]string {
	return map[string]string{
		"requests-per-minute": "requestsPerMinute", "requests-per-day": "requestsPerDay", "tokens-per-minute": "tokensPerMinute",
		"concurrent-streams": "concurrentStreams",
	}
}

func (p program) updateAPIKey() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "update ID",
		Short:   "Change the name and the rate limits of an API key; the change applies at once",
		Long:    "Change the name and the rate limits of an API key. What is not given stays as it is; 0 means the plan's limit.",
		Example: "  trivet apikeys update key_2abc --name reports --requests-per-day 1000\n  trivet apikeys update key_2abc --tokens-per-minute 0",
		Args:    exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			body, err := keyChange(cmd.Flags())
			if err != nil {
				return err
			}
			o, err := p.operator(cmd.Context())
			if err != nil {
				return err
			}
			raw, err := o.ask(cmd.Context(), http.MethodPatch, "/api/v1/apiKeys/"+url.PathEscape(args[0]), body)
			if err != nil {
				return err
			}
			return o.print(p.stdout, raw)
		},
	}
	cmd.Flags().String("name", "", "a name for people; 1 to 100 characters")
	cmd.Flags().Int32("requests-per-minute", 0, "maximum number of requests per minute")
	cmd.Flags().Int32("requests-per-day", 0, "maximum number of requests per day, in UTC")
	cmd.Flags().Int32("tokens-per-minute", 0, "maximum number of tokens per minute, input and output together")
	cmd.Flags().Int32("concurrent-streams", 0, "maximum number of concurrent streams")
	return cmd
}

// keyChange returns the fields whose flags are given.
func keyChange(flags *pflag.FlagSet) (map[string]any, error) {
	body := map[string]any{}
	if flags.Changed("name") {
		name, err := flags.GetString("name")
		if err != nil {
			return nil, err
		}
		body["name"] = name
	}
	for flag, field := range keyFlags() {
		if !flags.Changed(flag) {
			continue
		}
		limit, err := flags.GetInt32(flag)
		if err != nil {
			return nil, err
		}
		body[field] = limit
	}
	if len(body) == 0 {
		return nil, usagef("nothing to change: give --name or a limit, such as --requests-per-minute 60")
	}
	return body, nil
}
