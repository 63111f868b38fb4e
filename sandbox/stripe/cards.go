package stripe

import "net/http"

// testCard is one of Stripe's own test cards.
type testCard struct {
	number, brand string
	// names are the identifiers that stand for the card: "pm_card_visa", and "tok_visa" likewise.
	names []string
	// decline is the code with which every charge of the card is refused; empty lets it pass.
	decline string
	// attaches tells whether a card that declines can be saved nevertheless.
	attaches bool
	// asks tells that the bank wants to ask the payer first.
	asks bool
}

func (c testCard) last4() string { return c.number[len(c.number)-4:] }

func testCards() []testCard {
	return []testCard{
		{number: "4242424242424242", brand: "visa", names: []string{"visa"}},
		{number: "4000056655665556", brand: "visa", names: []string{"visa_debit"}},
		{number: "5555555555554444", brand: "mastercard", names: []string{"mastercard"}},
		{number: "378282246310005", brand: "amex", names: []string{"amex"}},
		{number: "4000000000000002", brand: "visa", names: []string{"chargeDeclined", "visa_chargeDeclined"}, decline: "generic_decline"},
		{
			number: "4000000000009995", brand: "visa", decline: "insufficient_funds",
			names: []string{"chargeDeclinedInsufficientFunds", "visa_chargeDeclinedInsufficientFunds"},
		},
		{number: "4000000000000341", brand: "visa", names: []string{"chargeCustomerFail"}, decline: "generic_decline", attaches: true},
		{number: "4000002500003155", brand: "visa", names: []string{"authenticationRequired", "threeDSecure2Required"}, asks: true},
	}
}

// cardBy returns the card that passes.
func cardBy(passes func(testCard) bool) (testCard, bool) {
	for _, c := range testCards() {
		if passes(c) {
			return c, true
		}
	}
	return testCard{}, false
}

// cardNamed returns the card that "pm_card_…" or "tok_…" stands for.
func cardNamed(prefix, id string) (testCard, bool) {
	return cardBy(func(c testCard) bool {
		for _, name := range c.names {
			if prefix+name == id {
				return true
			}
		}
		return false
	})
}

// testCard returns the test card behind a saved one. Any other card succeeds.
func (m PaymentMethod) testCard() testCard {
	c, _ := cardBy(func(c testCard) bool { return m.Card != nil && c.last4() == m.Card.Last4 })
	return c
}

// declined is the error of a card that was refused.
func declined(code string) *apiError {
	message := "Your card was declined."
	if code == "insufficient_funds" {
		message = "Your card has insufficient funds."
	}
	return &apiError{status: http.StatusPaymentRequired, Type: typeCard, Code: "card_declined", DeclineCode: code, Message: message}
}
