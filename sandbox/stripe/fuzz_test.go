package stripe_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/sandbox/stripe"
)

// FuzzForm sends any body to every write: the answer is 200 or a 400 in Stripe's envelope, never a panic.
func FuzzForm(f *testing.F) {
	for _, seed := range []string{
		"", "name=x", "a[b][c]=d", "a[][b]=c", "a[]=b&a[]=c", "a=b&a[b]=c", "a[b]=c&a=d", "a[b", "[=", "[]=", "a]=b", "metadata[a]=b&metadata=",
		"expand[]=x", "tiers[0][up_to]=inf&tiers[][unit_amount]=1&billing_scheme=tiered&tiers_mode=volume&currency=usd&product_data[name]=x", "%", "&&=&",
		"unit_amount_decimal=1e999999999&currency=usd&product_data[name]=x",
		"recurring=x&currency=usd&unit_amount_decimal=1.", "unit_amount_decimal=.&currency=usd&product_data[name]=x",
	} {
		f.Add(seed)
	}
	fake, err := stripe.New(stripe.Config{})
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, body string) {
		for _, path := range []string{"/v1/customers", "/v1/products", "/v1/prices"} {
			r := httptest.NewRequestWithContext(t.Context(), "POST", path, strings.NewReader(body))
			r.Header.Set("Authorization", "Bearer sk_test_x")
			w := httptest.NewRecorder()
			fake.ServeHTTP(w, r)
			require.Contains(t, []int{http.StatusOK, http.StatusBadRequest}, w.Code, "%s %q: %s", path, body, w.Body)
		}
	})
}
