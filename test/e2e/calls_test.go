package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/models"
)

const model = "gpt-4o-mini"

func decodeSegment(t *testing.T, segment string, into any) {
	t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(segment)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(raw, into))
}

// price returns the cost of a call by the price list.
func price(t *testing.T, name string, input, cached, output int64) int64 {
	t.Helper()
	list, err := models.Default()
	require.NoError(t, err)
	m, err := list.Get(name)
	require.NoError(t, err)
	cost, err := m.Cost(input, cached, output)
	require.NoError(t, err)
	return cost
}

// openAIUsage is usage in OpenAI's format.
type openAIUsage struct {
	Prompt     int64 `json:"prompt_tokens"`
	Completion int64 `json:"completion_tokens"`
	Details    struct {
		Cached int64 `json:"cached_tokens"`
	} `json:"prompt_tokens_details"`
}

func (u openAIUsage) price(t *testing.T, name string) int64 {
	t.Helper()
	return price(t, name, u.Prompt, u.Details.Cached, u.Completion)
}

// cost is the price of usage of the tests' model.
func (u openAIUsage) cost() (int64, error) {
	list, err := models.Default()
	if err != nil {
		return 0, err
	}
	m, err := list.Get(model)
	if err != nil {
		return 0, err
	}
	return m.Cost(u.Prompt, u.Details.Cached, u.Completion)
}

// typedUsage is usage in the format of the typed API.
type typedUsage struct {
	Input  int64 `json:"inputTokens"`
	Cached int64 `json:"cachedInputTokens"`
	Output int64 `json:"outputTokens"`
}

func TestCallsFromSignInToLedger(t *testing.T) {
	inEachMode(t, func(t *testing.T, in *installation) {
		token := in.token("user_alice", nil)
		var me struct {
			Identity struct{ UserID, AccountID, Role string }
		}
		in.get("/api/v1/me", token, &me)
		require.Equal(t, "user_alice", me.Identity.UserID)
		require.Equal(t, "user_alice", me.Identity.AccountID)

		before := in.account(token)
		require.Equal(t, account{ID: "user_alice", Plan: "free", Balance: 5_000_000_000, Available: 5_000_000_000}, before)
		spent := int64(0)
		settled := func(cost int64) {
			t.Helper()
			spent += cost
			require.Positive(t, cost)
			now := in.account(token)
			require.Equal(t, before.Balance-spent, now.Balance, "to the nano-dollar, as soon as the answer has ended")
			require.Zero(t, now.Held)
			require.Equal(t, spent, now.Usage.Cost)
		}

		t.Run("chat completions", func(t *testing.T) {
			var got struct {
				Choices []struct{ Message struct{ Content string } }
				Usage   openAIUsage
			}
			in.post("/v1/chat/completions", token, `{"model":"gpt-4o-mini","messages":[{"role":"user","content":"Hello, Trivet!"}]}`, &got)
			require.NotEmpty(t, got.Choices[0].Message.Content)
			settled(got.Usage.price(t, model))
		})
		t.Run("completions", func(t *testing.T) {
			var got struct {
				Choices []struct{ Text string }
				Usage   openAIUsage
			}
			in.post("/v1/completions", token, `{"model":"gpt-3.5-turbo-instruct","prompt":"Hello, Trivet!","max_tokens":7}`, &got)
			require.NotEmpty(t, got.Choices[0].Text)
			settled(got.Usage.price(t, "gpt-3.5-turbo-instruct"))
		})
		t.Run("moderations", func(t *testing.T) {
			var got struct{ Results []struct{ Flagged bool } }
			in.post("/v1/moderations", token, `{"input":"Hello, Trivet!"}`, &got)
			require.Len(t, got.Results, 1)
			require.Equal(t, before.Balance-spent, in.account(token).Balance, "they are free")
		})
		t.Run("responses", func(t *testing.T) {
			var got struct {
				ID     string
				Output []struct{ ID string }
				Usage  struct {
					Input  int64 `json:"input_tokens"`
					Output int64 `json:"output_tokens"`
				}
			}
			create := func(body string) {
				t.Helper()
				in.post("/v1/responses", token, body, &got)
				require.NotEmpty(t, got.Output)
				settled(openAIUsage{Prompt: got.Usage.Input, Completion: got.Usage.Output}.price(t, model))
			}
			create(`{"model":"gpt-4o-mini","input":"Hello, Trivet!"}`)
			first := got.ID
			create(`{"model":"gpt-4o-mini","input":"And?","previous_response_id":"` + first + `"}`)
			var kept struct{ ID string }
			in.get("/v1/responses/"+first, token, &kept)
			require.Equal(t, first, kept.ID)
			other := in.token("user_mallory", nil)
			for _, try := range [][3]string{
				{http.MethodGet, "/v1/responses/" + first},
				{http.MethodDelete, "/v1/responses/" + first},
				{http.MethodGet, "/v1/responses/" + first + "/input_items"},
				{http.MethodPost, "/v1/responses/" + first + "/cancel"},
				{http.MethodPost, "/v1/responses", `{"model":"gpt-4o-mini","input":"And?","previous_response_id":"` + first + `"}`},
				{http.MethodPost, "/v1/responses", `{"model":"gpt-4o-mini","input":[{"type":"item_reference","id":"` + got.Output[0].ID + `"}]}`},
			} {
				a := in.call(t.Context(), try[0], try[1], other, try[2])
				require.Equal(t, http.StatusNotFound, a.status, "%s %s: %s", try[0], try[1], a.body)
			}
			a := in.call(t.Context(), http.MethodDelete, "/v1/responses/"+first, token, "")
			require.Equal(t, http.StatusOK, a.status, "%s", a.body)
			a = in.call(t.Context(), http.MethodGet, "/v1/responses/"+first, token, "")
			require.Equal(t, http.StatusNotFound, a.status, "%s", a.body)
		})
		t.Run("count tokens", func(t *testing.T) {
			var got struct {
				InputTokens int64
				Exact       bool
			}
			in.post("/api/v1/chat:countTokens", token, `{"model":"gpt-4o-mini","messages":[{"role":"user","content":"Hello, Trivet!"}]}`, &got)
			require.True(t, got.Exact)
			require.Positive(t, got.InputTokens)
			require.Equal(t, before.Balance-spent, in.account(token).Balance, "counting is free")
		})
		t.Run("chat completions, streamed", func(t *testing.T) {
			a := in.call(t.Context(), http.MethodPost, "/v1/chat/completions", token, `{"model":"gpt-4o-mini","stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":"Count to three."}]}`)
			require.Equal(t, http.StatusOK, a.status, "%s", a.body)
			require.NoError(t, a.err)
			require.Contains(t, a.header.Get("Content-Type"), "text/event-stream")
			events := dataLines(t, a.body)
			require.Equal(t, "[DONE]", events[len(events)-1])
			var last struct {
				Choices []any
				Usage   openAIUsage
			}
			require.NoError(t, json.Unmarshal([]byte(events[len(events)-2]), &last))
			require.Empty(t, last.Choices)
			settled(last.Usage.price(t, model))
		})
		t.Run("chat completions, streamed, usage not asked for", func(t *testing.T) {
			balance := in.account(token).Balance
			a := in.call(t.Context(), http.MethodPost, "/v1/chat/completions", token, `{"model":"gpt-4o-mini","stream":true,"messages":[{"role":"user","content":"Hi"}]}`)
			require.NoError(t, a.err)
			events := dataLines(t, a.body)
			require.Equal(t, "[DONE]", events[len(events)-1])
			for _, e := range events[:len(events)-1] {
				require.NotContains(t, e, `"choices":[]`, "the usage chunk that Trivet asked for is hidden")
			}
			settled(balance - in.account(token).Balance)
		})
		t.Run("typed chat", func(t *testing.T) {
			var got struct {
				Message      struct{ Role, Content string }
				FinishReason string
				Usage        typedUsage
				Cost         int64 `json:"costNanoUsd,string"`
			}
			in.post("/api/v1/chat", token, `{"model":"gpt-4o-mini","messages":[{"role":"user","content":"Hello"}],"maxTokens":"50"}`, &got)
			require.Equal(t, "assistant", got.Message.Role)
			require.NotEmpty(t, got.Message.Content)
			require.Equal(t, price(t, model, got.Usage.Input, got.Usage.Cached, got.Usage.Output), got.Cost)
			settled(got.Cost)
		})
		t.Run("typed chat, streamed", func(t *testing.T) {
			a := in.call(t.Context(), http.MethodPost, "/api/v1/chat:stream", token, `{"model":"gpt-4o-mini","messages":[{"role":"user","content":"Hello"}]}`)
			require.Equal(t, http.StatusOK, a.status, "%s", a.body)
			require.NoError(t, a.err)
			require.Contains(t, a.header.Get("Content-Type"), "text/event-stream")
			events := dataLines(t, a.body)
			text := ""
			for _, e := range events {
				var piece struct{ Delta string }
				require.NoError(t, json.Unmarshal([]byte(e), &piece), e)
				text += piece.Delta
			}
			require.NotEmpty(t, text)
			var end struct {
				FinishReason string
				Usage        typedUsage
				Cost         int64 `json:"costNanoUsd,string"`
			}
			require.NoError(t, json.Unmarshal([]byte(events[len(events)-1]), &end))
			require.Equal(t, "stop", end.FinishReason)
			require.Equal(t, price(t, model, end.Usage.Input, end.Usage.Cached, end.Usage.Output), end.Cost)
			settled(end.Cost)
		})
		t.Run("embeddings", func(t *testing.T) {
			var got struct {
				Data  []struct{ Embedding []float64 }
				Usage openAIUsage
			}
			in.post("/v1/embeddings", token, `{"model":"text-embedding-3-small","input":["one text","and another one"],"encoding_format":"float"}`, &got)
			require.Len(t, got.Data, 2)
			require.Len(t, got.Data[0].Embedding, 1536)
			settled(got.Usage.price(t, "text-embedding-3-small"))

			var typed struct {
				Embeddings []struct{ Values []float64 }
				Cost       int64 `json:"costNanoUsd,string"`
			}
			in.post("/api/v1/embeddings", token, `{"model":"text-embedding-3-small","input":["one text"],"dimensions":8}`, &typed)
			require.Len(t, typed.Embeddings[0].Values, 8)
			settled(typed.Cost)
		})
		t.Run("models", func(t *testing.T) {
			var got struct {
				Object string
				Data   []struct{ ID, Object string }
			}
			in.get("/v1/models", token, &got)
			require.Equal(t, "list", got.Object)
			require.Len(t, got.Data, 22)
			var typed struct {
				Models []struct {
					ID         string
					InputPrice int64 `json:"inputNanoUsdPerMillionTokens,string"`
				}
			}
			in.get("/api/v1/models", token, &typed)
			require.Len(t, typed.Models, 22)
		})
		t.Run("usage", func(t *testing.T) {
			var got struct {
				Rows []struct {
					Day, Model string
					Requests   int64 `json:"requests,string"`
					Cost       int64 `json:"costNanoUsd,string"`
				}
				Total struct {
					Requests int64 `json:"requests,string"`
					Cost     int64 `json:"costNanoUsd,string"`
				}
			}
			in.get("/api/v1/billing/usage", token, &got)
			require.Equal(t, spent, got.Total.Cost)
			require.EqualValues(t, 10, got.Total.Requests)
			sums := map[string]int64{}
			for _, row := range got.Rows {
				sums[row.Model] += row.Requests
				require.NotEmpty(t, row.Day)
			}
			require.Equal(t, map[string]int64{model: 7, "text-embedding-3-small": 2, "gpt-3.5-turbo-instruct": 1}, sums)
		})
		require.NotContains(t, in.log.String(), token, "no token in any log")
		require.NotContains(t, in.log.String(), "sk-trivet-sandbox", "no provider key in any log")
	})
}

func TestAnOrganizationPaysForItsMembers(t *testing.T) {
	inEachMode(t, func(t *testing.T, in *installation) {
		admin := in.token("user_boss", map[string]any{"org": "org_acme", "role": "admin"})
		member := in.token("user_worker", map[string]any{"org": "org_acme", "role": "member"})
		alone := in.token("user_worker", nil)
		require.EqualValues(t, 5_000_000_000, in.account(admin).Balance, "the free credit of the person who opens the account")
		var got struct{ Usage openAIUsage }
		in.post("/v1/chat/completions", member, `{"model":"gpt-4o-mini","messages":[{"role":"user","content":"Hi"}]}`, &got)
		cost := got.Usage.price(t, model)
		require.Equal(t, "org_acme", in.account(admin).ID)
		require.Equal(t, 5_000_000_000-cost, in.account(admin).Balance)
		require.EqualValues(t, 5_000_000_000, in.account(alone).Balance, "the person's own account is untouched")
	})
}

func dataLines(t *testing.T, body []byte) []string {
	t.Helper()
	var all []string
	scanner := bufio.NewScanner(bytes.NewReader(body))
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		if data, ok := strings.CutPrefix(scanner.Text(), "data: "); ok {
			all = append(all, data)
		}
	}
	require.NoError(t, scanner.Err())
	require.NotEmpty(t, all, "%s", body)
	return all
}

func TestBadInput(t *testing.T) {
	inEachMode(t, func(t *testing.T, in *installation) {
		token := in.token("user_bad", nil)
		expired := in.token("user_bad", map[string]any{"ttl": "1m", "age": "10m"}) // long beyond any leeway
		calls := in.upstream().Calls
		good := `{"model":"gpt-4o-mini","messages":[{"role":"user","content":"x"}]}`
		huge := `{"model":"gpt-4o-mini","messages":[{"role":"user","content":"` + strings.Repeat("x", 20<<20) + `"}]}`
		cases := []struct {
			name, path, token, body string
			status                  int
			says                    string
		}{
			{"no token", "/v1/chat/completions", "", good, 401, "Unauthorized"},
			{"no token, typed", "/api/v1/chat", "", good, 401, `"error":"Unauthorized"`},
			{"bad token", "/v1/chat/completions", "abc.def.ghi", good, 401, "Invalid token"},
			{"bad token, typed", "/api/v1/chat", "abc.def.ghi", good, 401, `"error":"Invalid token"`},
			{"expired token", "/v1/chat/completions", expired, good, 401, "Invalid token"},
			{"expired token, typed", "/api/v1/chat", expired, good, 401, `"error":"Invalid token"`},
			{"expired token, told in the details", "/api/v1/chat", expired, good, 401, "has expired"},
			{"a bad API key", "/v1/chat/completions", "tvt_live_nonsense", good, 401, "Invalid token"},
			{"not JSON", "/v1/chat/completions", token, `{"model":`, 400, "JSON"},
			{"not JSON, typed", "/api/v1/chat", token, `{"model":`, 400, "code"},
			{"not an object", "/v1/chat/completions", token, `[1]`, 400, "object"},
			{"empty", "/v1/chat/completions", token, ``, 400, "body"},
			{"no model", "/v1/chat/completions", token, `{"messages":[{"role":"user","content":"x"}]}`, 400, `"param":"model"`},
			{"no model, typed", "/api/v1/chat", token, `{"messages":[{"role":"user","content":"x"}]}`, 400, `"field":"model"`},
			{"no messages", "/v1/chat/completions", token, `{"model":"gpt-4o-mini"}`, 400, `"param":"messages"`},
			{"no messages, typed", "/api/v1/chat", token, `{"model":"gpt-4o-mini"}`, 400, `"field":"messages"`},
			{"empty messages", "/v1/chat/completions", token, `{"model":"gpt-4o-mini","messages":[]}`, 400, `"param":"messages"`},
			{"unknown model", "/v1/chat/completions", token, `{"model":"gpt-99","messages":[{"role":"user","content":"x"}]}`, 404, "gpt-4o-mini"},
			{"unknown model, typed", "/api/v1/chat", token, `{"model":"gpt-99","messages":[{"role":"user","content":"x"}]}`, 404, `"code":"MODEL_NOT_FOUND"`},
			{"negative max_tokens", "/v1/chat/completions", token, `{"model":"gpt-4o-mini","max_tokens":-1,"messages":[{"role":"user","content":"x"}]}`, 400, `"param":"max_tokens"`},
			{"negative maxTokens, typed", "/api/v1/chat", token, `{"model":"gpt-4o-mini","maxTokens":-1,"messages":[{"role":"user","content":"x"}]}`, 400, `"field":"maxTokens"`},
			{"absurd max_tokens", "/v1/chat/completions", token, `{"model":"gpt-4o-mini","max_tokens":999999999,"messages":[{"role":"user","content":"x"}]}`, 400, `"param":"max_tokens"`},
			{"absurd maxTokens, typed", "/api/v1/chat", token, `{"model":"gpt-4o-mini","maxTokens":999999999,"messages":[{"role":"user","content":"x"}]}`, 400, `"field":"maxTokens"`},
			{"max_tokens beyond int64", "/v1/chat/completions", token, `{"model":"gpt-4o-mini","max_tokens":99999999999999999999,"messages":[{"role":"user","content":"x"}]}`, 400, `"param":"max_tokens"`},
			{"max_completion_tokens is text", "/v1/chat/completions", token, `{"model":"gpt-4o-mini","max_completion_tokens":"1","messages":[{"role":"user","content":"x"}]}`, 400, `"param":"max_completion_tokens"`},
			{"unknown field, typed", "/api/v1/chat", token, `{"model":"gpt-4o-mini","messages":[{"role":"user","content":"x"}],"tempratur":1}`, 400, "tempratur"},
			{"20 MB", "/v1/chat/completions", token, huge, 413, `"error":{`},
			{"20 MB, typed", "/api/v1/chat", token, huge, 413, `"code":"BODY_TOO_LARGE"`},
			{"an embedding model for chat", "/v1/chat/completions", token, `{"model":"text-embedding-3-small","messages":[{"role":"user","content":"x"}]}`, 400, `"param":"model"`},
			{"no input", "/v1/embeddings", token, `{"model":"text-embedding-3-small"}`, 400, `"param":"input"`},
			{"unknown path", "/v1/nothing", token, good, 404, `"error":{`},
			{"unknown path, typed", "/api/v1/nothing", token, good, 404, `"code":"NOT_FOUND"`},
		}
		for _, tc := range cases {
			t.Run(tc.name, func(t *testing.T) {
				a := in.call(t.Context(), http.MethodPost, tc.path, tc.token, tc.body)
				require.Equal(t, tc.status, a.status, "%s", a.body)
				require.Contains(t, strings.ReplaceAll(string(a.body), `": `, `":`), tc.says)
				require.NotEmpty(t, a.header.Get("X-Request-Id"))
				require.True(t, json.Valid(a.body), "%s", a.body)
				wire := strings.HasPrefix(tc.path, "/v1/")
				var envelope map[string]any
				require.NoError(t, json.Unmarshal(a.body, &envelope))
				_, nested := envelope["error"].(map[string]any)
				require.Equal(t, wire, nested, "the envelope of its tree")
			})
		}
		require.Equal(t, calls, in.upstream().Calls, "the upstream was never called")
		now := in.account(token)
		require.Zero(t, now.Held)
		require.EqualValues(t, 5_000_000_000, now.Balance)
	})
}

func TestNoBalance(t *testing.T) {
	plans := t.TempDir() + "/plans.yaml"
	writeFile(t, plans, `plans:
  - id: poor
    name: Poor
    price: "0"
    included_credit: "0.000002"
    limits: {requests_per_minute: 0, tokens_per_minute: 0, concurrent_requests: 0}
`)
	inEachMode(t, func(t *testing.T, in *installation) {
		token := in.token("user_poor", nil)
		a := in.call(t.Context(), http.MethodPost, "/v1/chat/completions", token, `{"model":"gpt-5","messages":[{"role":"user","content":"This costs more than there is."}]}`)
		require.Equal(t, http.StatusPaymentRequired, a.status, "%s", a.body)
		require.Contains(t, string(a.body), "insufficient_quota")
		a = in.call(t.Context(), http.MethodPost, "/api/v1/chat", token, `{"model":"gpt-5","messages":[{"role":"user","content":"This costs more than there is."}]}`)
		require.Equal(t, http.StatusPaymentRequired, a.status, "%s", a.body)
		require.Contains(t, string(a.body), "INSUFFICIENT_BALANCE")
		require.Zero(t, in.upstream().Calls)
		now := in.account(token)
		require.Zero(t, now.Held)
		require.EqualValues(t, 2000, now.Balance)
	}, "PLANS_FILE="+plans, "DEFAULT_PLAN=poor")
}

func TestUpstreamFailures(t *testing.T) {
	inEachMode(t, func(t *testing.T, in *installation) {
		token := in.token("user_unlucky", nil)
		stream := `{"model":"gpt-4o-mini","stream":true,"messages":[{"role":"user","content":"Tell me a long story about a fox, a dog and a bird."}]}`
		whole := strings.Replace(stream, `"stream":true,`, "", 1)

		t.Run("500", func(t *testing.T) {
			in.fault(map[string]any{"kind": "status", "status": 500, "count": 3})
			a := in.call(t.Context(), http.MethodPost, "/v1/chat/completions", token, whole)
			require.GreaterOrEqual(t, a.status, 500)
			require.True(t, json.Valid(a.body), "%s", a.body)
		})
		t.Run("garbage", func(t *testing.T) {
			in.fault(map[string]any{"kind": "garbage", "count": 3})
			a := in.call(t.Context(), http.MethodPost, "/v1/chat/completions", token, whole)
			require.Equal(t, http.StatusBadGateway, a.status, "%s", a.body)
			require.True(t, json.Valid(a.body), "%s", a.body)
		})
		require.EqualValues(t, 5_000_000_000, in.account(token).Balance, "nothing was produced, nothing is billed")

		for _, kind := range []string{"cut", "eof", "stream_error"} {
			t.Run("stream ends early: "+kind, func(t *testing.T) {
				before := in.account(token).Balance
				in.fault(map[string]any{"kind": kind, "after_chunks": 4, "count": 1})
				a := in.call(t.Context(), http.MethodPost, "/v1/chat/completions", token, stream)
				require.Equal(t, http.StatusOK, a.status)
				require.Error(t, a.err, "the connection is broken, so that no SDK takes the part for the whole")
				require.NotContains(t, string(a.body), "[DONE]")
				require.Contains(t, string(a.body), `"error"`)
				require.Eventually(t, func() bool { return in.account(token).Held == 0 }, 10*time.Second, 20*time.Millisecond)
				require.Less(t, in.account(token).Balance, before, "what was produced is billed")
			})
		}
		// The last one, because the target is left alone afterwards.
		t.Run("429 keeps its headers", func(t *testing.T) {
			in.fault(map[string]any{"kind": "rate_limit", "retry_after": 7, "count": 1})
			a := in.call(t.Context(), http.MethodPost, "/v1/chat/completions", token, whole)
			require.Equal(t, http.StatusTooManyRequests, a.status, "%s", a.body)
			require.Equal(t, "7", a.header.Get("Retry-After"))
		})
		now := in.account(token)
		require.Zero(t, now.Held)
		in.verifyLedger()
	})
}

func TestDisconnectedCallerPaysForProducedTokens(t *testing.T) {
	inEachMode(t, func(t *testing.T, in *installation) {
		in.control(http.MethodPatch, "/control/openai/settings", map[string]any{"pace_ms": 20, "reply_tokens": 2000}, nil)
		token := in.token("user_gone", nil)
		ctx, leave := context.WithCancel(t.Context())
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, in.edge+"/v1/chat/completions",
			strings.NewReader(`{"model":"gpt-4o-mini","stream":true,"messages":[{"role":"user","content":"Continue for long."}]}`))
		require.NoError(t, err)
		request.Header.Set("Authorization", "Bearer "+token)
		response, err := http.DefaultClient.Do(request)
		require.NoError(t, err)
		reader := bufio.NewReader(response.Body)
		for seen := 0; seen < 10; {
			line, err := reader.ReadString('\n')
			require.NoError(t, err)
			if strings.HasPrefix(line, "data: ") {
				seen++
			}
		}
		require.Positive(t, in.account(token).Held, "the worst case is held while the call runs")
		leave()
		_ = response.Body.Close()
		require.Eventually(t, func() bool { return in.upstream().Cancelled == 1 }, 10*time.Second, 5*time.Millisecond, "the upstream call ends with its caller")
		require.Eventually(t, func() bool { return in.account(token).Held == 0 }, 10*time.Second, 20*time.Millisecond)
		now, produced := in.account(token), in.upstream()
		require.Less(t, produced.Chunks, int64(200), "the model stopped when nobody was reading")
		cost := 5_000_000_000 - now.Balance
		atMost := price(t, model, 200, 0, 2*produced.Chunks+20)
		require.Positive(t, cost)
		require.LessOrEqual(t, cost, atMost, "billed what was produced, not the whole hold; %d chunks", produced.Chunks)
		require.GreaterOrEqual(t, cost, price(t, model, 0, 0, produced.Chunks/2))
		in.verifyLedger()
	})
}
