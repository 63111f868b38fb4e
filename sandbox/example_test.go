package sandbox_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/sashabaranov/go-openai"
	stripesdk "github.com/stripe/stripe-go/v76"
	"github.com/stripe/stripe-go/v76/client"

	"github.com/trivet-dev/trivet/sandbox"
	"github.com/trivet-dev/trivet/sandbox/clerk"
	"github.com/trivet-dev/trivet/sandbox/fault"
	"github.com/trivet-dev/trivet/sandbox/webhook"
)

// start serves a sandbox; stop ends it. In a test, use t.Cleanup.
func start(cfg sandbox.Config) (s *sandbox.Sandbox, url string, stop func()) {
	s, err := sandbox.New(cfg)
	if err != nil {
		log.Fatal(err)
	}
	server := httptest.NewServer(s.Handler())
	return s, server.URL, func() {
		if err := s.Close(context.Background()); err != nil {
			log.Fatal(err)
		}
		server.CloseClientConnections()
		server.Close()
		http.DefaultClient.CloseIdleConnections()
	}
}

// Point an unmodified OpenAI SDK at the sandbox. Answers depend only on the messages; a directive sets the length.
func Example() {
	_, url, stop := start(sandbox.Config{})
	defer stop()

	config := openai.DefaultConfig(sandbox.OpenAIKey)
	config.BaseURL = url + "/openai/v1"
	answer, err := openai.NewClientWithConfig(config).CreateChatCompletion(context.Background(), openai.ChatCompletionRequest{
		Model:    "gpt-4o-mini",
		Messages: []openai.ChatCompletionMessage{{Role: "user", Content: "good morning [sandbox tokens=5]"}},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(answer.Choices[0].Message.Content)
	fmt.Println(answer.Usage.CompletionTokens, "tokens")
	// Output:
	// You said good morning and
	// 5 tokens
}

// Create session tokens for any user. The user and the organization are created on first use.
func ExampleSandbox_Clerk() {
	s, _, stop := start(sandbox.Config{})
	defer stop()

	token, err := s.Clerk().MintToken(context.Background(), clerk.TokenSpec{User: "alice", Org: "acme", Role: "admin"})
	if err != nil {
		log.Fatal(err)
	}
	alice, _ := s.Clerk().User("alice")
	fmt.Println(len(token) > 0, alice.PrimaryEmail())
	// Output: true alice@example.test
}

// Make a provider fail. This fault hits one request and is then used up.
func ExampleSandbox_OpenAI() {
	s, url, stop := start(sandbox.Config{})
	defer stop()

	if _, err := s.OpenAI().Faults().Add(fault.Fault{Kind: fault.RateLimit, Count: 1}); err != nil {
		log.Fatal(err)
	}
	for range 2 {
		request, err := http.NewRequestWithContext(context.Background(), http.MethodGet, url+"/openai/v1/models", nil)
		if err != nil {
			log.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer "+sandbox.OpenAIKey)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(response.Status)
		_ = response.Body.Close()
	}
	// Output:
	// 429 Too Many Requests
	// 200 OK
}

// Point Stripe's SDK at the sandbox, and let a subscription run into its next period.
func ExampleSandbox_Stripe() {
	s, url, stop := start(sandbox.Config{})
	defer stop()

	backend := &stripesdk.BackendConfig{URL: stripesdk.String(url + "/stripe"), EnableTelemetry: stripesdk.Bool(false)}
	api := client.New(sandbox.StripeSecretKey, stripesdk.NewBackendsWithConfig(backend))
	customer, err := api.Customers.New(&stripesdk.CustomerParams{
		PaymentMethod:   stripesdk.String("pm_card_visa"),
		InvoiceSettings: &stripesdk.CustomerInvoiceSettingsParams{DefaultPaymentMethod: stripesdk.String("pm_card_visa")},
	})
	if err != nil {
		log.Fatal(err)
	}
	price, err := api.Prices.New(&stripesdk.PriceParams{
		Currency: stripesdk.String("usd"), UnitAmount: stripesdk.Int64(2000),
		Recurring:   &stripesdk.PriceRecurringParams{Interval: stripesdk.String("month")},
		ProductData: &stripesdk.PriceProductDataParams{Name: stripesdk.String("Pro")},
	})
	if err != nil {
		log.Fatal(err)
	}
	subscription, err := api.Subscriptions.New(&stripesdk.SubscriptionParams{
		Customer: &customer.ID, Items: []*stripesdk.SubscriptionItemsParams{{Price: &price.ID}},
	})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := s.Stripe().Renew(subscription.ID); err != nil {
		log.Fatal(err)
	}
	invoices := api.Invoices.List(&stripesdk.InvoiceListParams{Customer: &customer.ID})
	for invoices.Next() {
		fmt.Println(invoices.Invoice().BillingReason, invoices.Invoice().AmountPaid)
	}
	// Output:
	// subscription_cycle 2000
	// subscription_create 2000
}

// Receive signed webhooks, and choose what goes wrong on the way.
func ExampleSandbox_FlushWebhooks() {
	var types []string
	edge := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var event struct{ Type string }
		if body, err := io.ReadAll(r.Body); err == nil && json.Unmarshal(body, &event) == nil {
			types = append(types, event.Type)
		}
		w.WriteHeader(http.StatusOK)
	}))
	defer edge.Close()
	s, url, stop := start(sandbox.Config{EdgeURL: edge.URL})
	defer stop()

	if err := s.ClerkWebhooks().Change(webhook.Settings{Paused: true, Concurrency: 1, DoubleNext: 1}); err != nil {
		log.Fatal(err)
	}
	body := bytes.NewReader([]byte(`{"email_address":["ada@example.test"]}`))
	request, err := http.NewRequestWithContext(context.Background(), http.MethodPost, url+"/clerk/v1/users", body)
	if err != nil {
		log.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+sandbox.ClerkSecretKey)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		log.Fatal(err)
	}
	_ = response.Body.Close()

	report, err := s.FlushWebhooks(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(report.Delivered, types)
	// Output: 2 [user.created user.created]
}
