package apikey_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/services/auth/internal/apikey"
)

// refusedFields are the fields that an error with this reason names; nil for no error.
func refusedFields(t *testing.T, want errorsv1.ErrorReason, err error) []string {
	t.Helper()
	if err == nil {
		return nil
	}
	require.Equal(t, want, errs.ReasonOf(err), "%v", err)
	var names []string
	for _, field := range errs.From(err).Fields {
		names = append(names, field.Name)
	}
	return names
}

func perMinute(n int32) apikey.Limits { return apikey.Limits{RequestsPerMinute: n} }

func TestWhatAKeyMayHandOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		scopes := []string{apikey.ScopeManageKeys, apikey.ScopeInvoke}
		limited := apikey.Spec{Scopes: scopes, Models: []string{"gpt-5", "gpt-5-mini"}, ExpireTime: now.Add(time.Hour), Limits: perMinute(10)}
		for name, tc := range map[string]struct {
			parent, child apikey.Spec
			want          []string
		}{
			"the same":                          {limited, limited, nil},
			"less":                              {limited, apikey.Spec{Scopes: scopes[:1], Models: []string{"gpt-5"}, ExpireTime: now.Add(time.Minute), Limits: perMinute(9)}, nil},
			"no limit of requests of its own":   {limited, apikey.Spec{Scopes: scopes, Models: limited.Models, ExpireTime: limited.ExpireTime}, nil},
			"another scope":                     {limited, apikey.Spec{Scopes: []string{apikey.ScopeReadBilling}, Models: limited.Models, ExpireTime: limited.ExpireTime}, []string{"scopes"}},
			"one scope more":                    {limited, apikey.Spec{Scopes: apikey.Scopes(), Models: limited.Models, ExpireTime: limited.ExpireTime}, []string{"scopes", "scopes", "scopes"}},
			"all models":                        {limited, apikey.Spec{Scopes: scopes, ExpireTime: limited.ExpireTime}, []string{"models"}},
			"one model more":                    {limited, apikey.Spec{Scopes: scopes, Models: []string{"gpt-5", "gpt-5-nano"}, ExpireTime: limited.ExpireTime}, []string{"models"}},
			"no end":                            {limited, apikey.Spec{Scopes: scopes, Models: limited.Models}, []string{"expireTime"}},
			"an end a moment later":             {limited, apikey.Spec{Scopes: scopes, Models: limited.Models, ExpireTime: limited.ExpireTime.Add(time.Microsecond)}, []string{"expireTime"}},
			"one request more":                  {limited, apikey.Spec{Scopes: scopes, Models: limited.Models, ExpireTime: limited.ExpireTime, Limits: perMinute(11)}, []string{"requestsPerMinute"}},
			"one request of the day more":       {apikey.Spec{Scopes: scopes, Limits: apikey.Limits{RequestsPerDay: 4}}, apikey.Spec{Scopes: scopes, Limits: apikey.Limits{RequestsPerDay: 5}}, []string{"requestsPerDay"}},
			"one token more":                    {apikey.Spec{Scopes: scopes, Limits: apikey.Limits{TokensPerMinute: 4}}, apikey.Spec{Scopes: scopes, Limits: apikey.Limits{TokensPerMinute: 5}}, []string{"tokensPerMinute"}},
			"one stream more":                   {apikey.Spec{Scopes: scopes, Limits: apikey.Limits{ConcurrentStreams: 4}}, apikey.Spec{Scopes: scopes, Limits: apikey.Limits{ConcurrentStreams: 5}}, []string{"concurrentStreams"}},
			"other limits than the parent's":    {limited, apikey.Spec{Scopes: scopes, Models: limited.Models, ExpireTime: limited.ExpireTime, Limits: apikey.Limits{RequestsPerDay: 5, TokensPerMinute: 6, ConcurrentStreams: 7}}, nil},
			"anything of an unlimited key":      {apikey.Spec{Scopes: scopes}, apikey.Spec{Scopes: scopes, Models: []string{"gpt-5"}, Limits: perMinute(1000), SpendLimitNanoUSD: 1}, nil},
			"no end of a key without an end":    {apikey.Spec{Scopes: scopes}, apikey.Spec{Scopes: scopes}, nil},
			"a limit of requests of its own":    {apikey.Spec{Scopes: scopes}, apikey.Spec{Scopes: scopes, Limits: perMinute(1)}, nil},
			"an end of a key without an end":    {apikey.Spec{Scopes: scopes}, apikey.Spec{Scopes: scopes, ExpireTime: now.Add(time.Hour)}, nil},
			"models of a key without that list": {apikey.Spec{Scopes: scopes}, apikey.Spec{Scopes: scopes, Models: limited.Models}, nil},
			"of a key with a spend limit":       {apikey.Spec{Scopes: scopes, SpendLimitNanoUSD: 1}, apikey.Spec{Scopes: scopes}, []string{"spendLimitNanoUsd"}},
		} {
			k, _ := manager(t, newMemory(), first)
			by := apikey.Maker{AccountID: "a", UserID: "u"}
			tc.parent.Name, tc.child.Name = "parent", "child"
			parent, _, err := k.Create(t.Context(), by, tc.parent)
			require.NoError(t, err, name)
			by.APIKeyID = parent.ID
			_, _, err = k.Create(t.Context(), by, tc.child)
			require.Equal(t, tc.want, refusedFields(t, errorsv1.ErrorReason_ERROR_REASON_PERMISSION_DENIED, err), name)
		}
	})
}

func TestWhatAKeyMayBe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		limited := func(period time.Duration) apikey.Spec {
			return apikey.Spec{Name: "n", SpendLimitNanoUSD: 1, SpendPeriod: period}
		}
		const year = 366 * 24 * time.Hour
		for name, tc := range map[string]struct {
			spec apikey.Spec
			want []string
		}{
			"a name alone":               {apikey.Spec{Name: "n"}, nil},
			"ends in a moment":           {apikey.Spec{Name: "n", ExpireTime: now.Add(1)}, nil},
			"ends now":                   {apikey.Spec{Name: "n", ExpireTime: now}, []string{"expireTime"}},
			"no request allowed":         {apikey.Spec{Name: "n", Limits: perMinute(-1)}, []string{"requestsPerMinute"}},
			"the highest limits":         {apikey.Spec{Name: "n", Limits: apikey.Limits{RequestsPerMinute: 1_000_000, RequestsPerDay: 1_000_000_000, TokensPerMinute: 1_000_000_000, ConcurrentStreams: 100_000}}, nil},
			"higher limits":              {apikey.Spec{Name: "n", Limits: apikey.Limits{RequestsPerMinute: 1_000_001, RequestsPerDay: 1_000_000_001, TokensPerMinute: 1_000_000_001, ConcurrentStreams: 100_001}}, []string{"requestsPerMinute", "requestsPerDay", "tokensPerMinute", "concurrentStreams"}},
			"negative limits":            {apikey.Spec{Name: "n", Limits: apikey.Limits{RequestsPerDay: -1, TokensPerMinute: -1, ConcurrentStreams: -1}}, []string{"requestsPerDay", "tokensPerMinute", "concurrentStreams"}},
			"negative spend limit":       {apikey.Spec{Name: "n", SpendLimitNanoUSD: -1}, []string{"spendLimitNanoUsd"}},
			"a period without a limit":   {apikey.Spec{Name: "n", SpendPeriod: time.Hour}, []string{"spendPeriod"}},
			"the account's period":       {limited(0), nil},
			"the shortest period":        {limited(time.Minute), nil},
			"shorter":                    {limited(time.Minute - time.Second), []string{"spendPeriod"}},
			"the longest period":         {limited(year), nil},
			"longer":                     {limited(year + time.Second), []string{"spendPeriod"}},
			"a fraction of a second":     {limited(time.Minute + time.Millisecond), []string{"spendPeriod"}},
			"a negative period":          {limited(-time.Hour), []string{"spendPeriod"}},
			"blank":                      {apikey.Spec{Name: " \t"}, []string{"name"}},
			"a line break":               {apikey.Spec{Name: "a\nb"}, []string{"name"}},
			"a change of direction":      {apikey.Spec{Name: "a\u202eb"}, []string{"name"}},
			"an unknown scope and model": {apikey.Spec{Name: "n", Scopes: []string{"ai.invoke", "root"}, Models: []string{"gpt-5", "gpt-0"}}, []string{"scopes[1]", "models[1]"}},
			"every error is reported":    {apikey.Spec{ExpireTime: now, Limits: perMinute(-1)}, []string{"name", "expireTime", "requestsPerMinute"}},
		} {
			k, _ := manager(t, newMemory(), first)
			_, _, err := k.Create(t.Context(), apikey.Maker{AccountID: "a", UserID: "u"}, tc.spec)
			require.Equal(t, tc.want, refusedFields(t, errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, err), name)
		}
	})
}

func TestTheTextNamesEveryWrongField(t *testing.T) {
	k, _ := manager(t, newMemory(), first)
	_, _, err := k.Create(t.Context(), apikey.Maker{AccountID: "a", UserID: "u"}, apikey.Spec{Name: "\n", Scopes: []string{"root"}})
	require.Equal(t, `name must have a visible character, no control characters and no characters that change the direction of text; `+
		`scopes[0] is "root", but must be one of ai.invoke, models.read, billing.read, billing.write, keys.manage.`, errs.From(err).Message)
}

// TestAKeyIsHashedUnderTheNewestSecret: during a rotation a new key must outlive the older server secret.
func TestAKeyIsHashedUnderTheNewestSecret(t *testing.T) {
	m := newMemory()
	both, _ := manager(t, m, second, first)
	_, secret, err := both.Create(t.Context(), apikey.Maker{AccountID: "a", UserID: "u"}, apikey.Spec{Name: "n"})
	require.NoError(t, err)
	newest, _ := manager(t, m, second)
	_, err = newest.Verify(t.Context(), secret)
	require.NoError(t, err)
}

func TestAnImpersonatedSessionMakesNoKeys(t *testing.T) {
	k, _ := manager(t, newMemory(), first)
	_, _, err := k.Create(t.Context(), apikey.Maker{AccountID: "a", UserID: "u", ActorID: "user_x"}, apikey.Spec{Name: "n"})
	require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_PERMISSION_DENIED, errs.ReasonOf(err))
}
