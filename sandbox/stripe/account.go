package stripe

// AccountID is the identifier of the sandbox's account.
const AccountID = "acct_1TrivetSandbox"

// getAccount answers what a client asks to see whether its key is good.
func (f *Fake) getAccount(c *call) (any, *apiError) {
	if bad := c.form.done(); bad != nil {
		return nil, bad
	}
	return map[string]any{
		"id": AccountID, "object": "account", "business_profile": map[string]any{"name": "Trivet sandbox", "url": nil}, "business_type": "company",
		"capabilities": map[string]string{"card_payments": "active", "transfers": "active"}, "charges_enabled": true, "country": "US",
		"default_currency": "usd", "details_submitted": true, "email": "sandbox@example.test", "metadata": map[string]string{}, "payouts_enabled": true,
		"settings": map[string]any{"dashboard": map[string]string{"display_name": "Trivet sandbox", "timezone": "Etc/UTC"}}, "type": "standard",
	}, nil
}

// getBalance is always empty: the sandbox pays nothing out.
func (f *Fake) getBalance(c *call) (any, *apiError) {
	if bad := c.form.done(); bad != nil {
		return nil, bad
	}
	none := []map[string]any{{"amount": 0, "currency": "usd", "source_types": map[string]int{"card": 0}}}
	return map[string]any{"object": "balance", "available": none, "livemode": false, "pending": none}, nil
}
