package sandbox

import (
	"net/http"

	"github.com/trivet-dev/trivet/sandbox/stripe"
)

// controlStripe registers what happens at Stripe without an API call: actions of banks and payers, and the passing of time.
func (s *Sandbox) controlStripe(mux *http.ServeMux) {
	mux.HandleFunc("POST /control/stripe/advance", s.advanceStripe)
	mux.HandleFunc("POST /control/stripe/subscriptions/{id}/renew", s.renewSubscription)
	mux.HandleFunc("POST /control/stripe/checkout/{id}/pay", s.payCheckout)
	mux.HandleFunc("POST /control/stripe/payment_intents/{id}/authenticate", s.authenticateIntent)
	mux.HandleFunc("POST /control/stripe/disputes", s.openDispute)
	mux.HandleFunc("POST /control/stripe/disputes/{id}/close", s.closeDispute)
}

// answer sends the result of a change, or its error as 400.
func answer(w http.ResponseWriter, v any, err error) {
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	reply(w, http.StatusOK, v)
}

func (s *Sandbox) advanceStripe(w http.ResponseWriter, _ *http.Request) {
	n, err := s.stripe.Advance()
	answer(w, map[string]int{"changed": n}, err)
}

func (s *Sandbox) renewSubscription(w http.ResponseWriter, r *http.Request) {
	sub, err := s.stripe.Renew(r.PathValue("id"))
	answer(w, sub, err)
}

func (s *Sandbox) payCheckout(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Card    string `json:"card"`
		Email   string `json:"email"`
		Country string `json:"country"`
		TaxID   string `json:"taxId"`
		Code    string `json:"code"`
	}
	if !read(w, r, &in) {
		return
	}
	if in.Card == "" {
		in.Card = "visa"
	}
	url, err := s.stripe.PayAs(r.PathValue("id"), stripe.Payer{Card: in.Card, Email: in.Email, Country: in.Country, TaxID: in.TaxID, Code: in.Code})
	answer(w, map[string]string{"url": url}, err)
}

func (s *Sandbox) authenticateIntent(w http.ResponseWriter, r *http.Request) {
	in := struct {
		Agrees bool `json:"agrees"`
	}{true}
	if !read(w, r, &in) {
		return
	}
	pi, err := s.stripe.Authenticate(r.PathValue("id"), in.Agrees)
	answer(w, pi, err)
}

func (s *Sandbox) openDispute(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Charge string `json:"charge"`
		Reason string `json:"reason"`
	}
	if !read(w, r, &in) {
		return
	}
	d, err := s.stripe.OpenDispute(in.Charge, in.Reason)
	answer(w, d, err)
}

func (s *Sandbox) closeDispute(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Won bool `json:"won"`
	}
	if !read(w, r, &in) {
		return
	}
	d, err := s.stripe.CloseDispute(r.PathValue("id"), in.Won)
	answer(w, d, err)
}
