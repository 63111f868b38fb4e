package stripe

import "slices"

// PortalConfiguration is Stripe's configuration of the billing portal.
type PortalConfiguration struct {
	ID               string                `json:"id"`
	Object           string                `json:"object"`
	Active           bool                  `json:"active"`
	Application      null                  `json:"application"`
	BusinessProfile  PortalBusinessProfile `json:"business_profile"`
	Created          int64                 `json:"created"`
	DefaultReturnURL *string               `json:"default_return_url"`
	Features         PortalFeatures        `json:"features"`
	IsDefault        bool                  `json:"is_default"`
	Livemode         bool                  `json:"livemode"`
	LoginPage        PortalLoginPage       `json:"login_page"`
	Metadata         map[string]string     `json:"metadata"`
	Updated          int64                 `json:"updated"`
}

// PortalBusinessProfile is what the portal says of the business.
type PortalBusinessProfile struct {
	Headline          *string `json:"headline"`
	PrivacyPolicyURL  *string `json:"privacy_policy_url"`
	TermsOfServiceURL *string `json:"terms_of_service_url"`
}

// PortalFeatures are what a person can do in the portal.
type PortalFeatures struct {
	CustomerUpdate      PortalCustomerUpdate     `json:"customer_update"`
	InvoiceHistory      PortalFeature            `json:"invoice_history"`
	PaymentMethodUpdate PortalFeature            `json:"payment_method_update"`
	SubscriptionCancel  PortalCancel             `json:"subscription_cancel"`
	SubscriptionPause   PortalFeature            `json:"subscription_pause"`
	SubscriptionUpdate  PortalSubscriptionUpdate `json:"subscription_update"`
}

// PortalFeature is a feature without settings.
type PortalFeature struct {
	Enabled bool `json:"enabled"`
}

// PortalCustomerUpdate says which details of the customer can be changed.
type PortalCustomerUpdate struct {
	AllowedUpdates []string `json:"allowed_updates"`
	Enabled        bool     `json:"enabled"`
}

// PortalCancel says how a subscription can be canceled.
type PortalCancel struct {
	CancellationReason PortalCancelReason `json:"cancellation_reason"`
	Enabled            bool               `json:"enabled"`
	Mode               string             `json:"mode"`
	ProrationBehavior  string             `json:"proration_behavior"`
}

// PortalCancelReason says which reasons the portal offers.
type PortalCancelReason struct {
	Enabled bool     `json:"enabled"`
	Options []string `json:"options"`
}

// PortalSubscriptionUpdate is always off in the sandbox.
type PortalSubscriptionUpdate struct {
	DefaultAllowedUpdates []string   `json:"default_allowed_updates"`
	Enabled               bool       `json:"enabled"`
	Products              []struct{} `json:"products"`
	ProrationBehavior     string     `json:"proration_behavior"`
}

// PortalLoginPage is always off in the sandbox.
type PortalLoginPage struct {
	Enabled bool    `json:"enabled"`
	URL     *string `json:"url"`
}

// defaultPortal is the configuration of a session that names none.
func (f *Fake) defaultPortal() PortalConfiguration {
	p := f.newPortalConfiguration("bpc_1TrivetSandbox")
	p.IsDefault = true
	p.Features.PaymentMethodUpdate.Enabled, p.Features.InvoiceHistory.Enabled, p.Features.SubscriptionCancel.Enabled = true, true, true
	return p
}

func (f *Fake) newPortalConfiguration(id string) PortalConfiguration {
	return PortalConfiguration{
		ID: id, Object: "billing_portal.configuration", Active: true, Created: f.now(), Updated: f.now(), Metadata: map[string]string{},
		Features: PortalFeatures{
			CustomerUpdate:     PortalCustomerUpdate{AllowedUpdates: []string{}},
			SubscriptionCancel: PortalCancel{CancellationReason: PortalCancelReason{Options: []string{}}, Mode: "at_period_end", ProrationBehavior: "none"},
			SubscriptionUpdate: PortalSubscriptionUpdate{DefaultAllowedUpdates: []string{}, Products: []struct{}{}, ProrationBehavior: "none"},
		},
	}
}

func (f *Fake) portalConfiguration(id string) (PortalConfiguration, bool) {
	if standard := f.defaultPortal(); id == standard.ID {
		return standard, true
	}
	return f.portalConfigs.Get(id)
}

func (f *Fake) createPortalConfiguration(c *call) (any, *apiError) {
	p := f.newPortalConfiguration(f.ids.Next("bpc_1", 23))
	if c.form.children["features"] == nil {
		return nil, missingParam("features")
	}
	if bad := readPortalConfiguration(c.form, &p); bad != nil {
		return nil, bad
	}
	return p, save(f, f.portalConfigs, p.ID, p, "billing_portal.configuration.created")
}

func (f *Fake) updatePortalConfiguration(c *call) (any, *apiError) {
	p, ok := f.portalConfigs.Get(c.id)
	if !ok {
		return nil, noSuch("configuration", "configuration", c.id)
	}
	c.form.boolean("active", &p.Active)
	if bad := readPortalConfiguration(c.form, &p); bad != nil {
		return nil, bad
	}
	p.Updated = f.now()
	return p, save(f, f.portalConfigs, p.ID, p, "billing_portal.configuration.updated")
}

func readPortalConfiguration(form *form, p *PortalConfiguration) *apiError {
	if profile := form.child("business_profile"); profile != nil {
		profile.optional("headline", &p.BusinessProfile.Headline)
		profile.optional("privacy_policy_url", &p.BusinessProfile.PrivacyPolicyURL)
		profile.optional("terms_of_service_url", &p.BusinessProfile.TermsOfServiceURL)
	}
	form.optional("default_return_url", &p.DefaultReturnURL)
	p.Metadata = form.metadata(p.Metadata)
	if login := form.child("login_page"); login != nil {
		refuseIfOn(login)
	}
	if features := form.child("features"); features != nil {
		readPortalFeatures(features, &p.Features)
	}
	return form.done()
}

func readPortalFeatures(form *form, f *PortalFeatures) {
	if update := form.child("customer_update"); update != nil {
		update.boolean("enabled", &f.CustomerUpdate.Enabled)
		if allowed := update.strings("allowed_updates"); allowed != nil {
			f.CustomerUpdate.AllowedUpdates = allowed
		}
		for _, name := range f.CustomerUpdate.AllowedUpdates {
			if !slices.Contains([]string{"address", "email", "name", "phone", "shipping", "tax_id"}, name) {
				form.fail(invalidRequest(update.path("allowed_updates"), "", "Invalid allowed_updates: "+name))
			}
		}
	}
	for name, feature := range map[string]*PortalFeature{"invoice_history": &f.InvoiceHistory, "payment_method_update": &f.PaymentMethodUpdate} {
		if in := form.child(name); in != nil {
			in.boolean("enabled", &feature.Enabled)
		}
	}
	if cancel := form.child("subscription_cancel"); cancel != nil {
		cancel.boolean("enabled", &f.SubscriptionCancel.Enabled)
		f.SubscriptionCancel.Mode = cancel.oneOf("mode", f.SubscriptionCancel.Mode, "at_period_end", "immediately")
		f.SubscriptionCancel.ProrationBehavior = cancel.oneOf("proration_behavior", f.SubscriptionCancel.ProrationBehavior, "none", "create_prorations", "always_invoice")
		if reason := cancel.child("cancellation_reason"); reason != nil {
			reason.boolean("enabled", &f.SubscriptionCancel.CancellationReason.Enabled)
			if options := reason.strings("options"); options != nil {
				f.SubscriptionCancel.CancellationReason.Options = options
			}
		}
	}
	if pause := form.child("subscription_pause"); pause != nil {
		refuseIfOn(pause)
	}
	if update := form.child("subscription_update"); update != nil {
		refuseIfOn(update)
		update.text("default_allowed_updates") // an empty list is sent as an empty text
		update.text("products")
		update.oneOf("proration_behavior", "none", "none", "create_prorations", "always_invoice")
	}
}

// refuseIfOn refuses to turn on what the sandbox's portal does not have.
func refuseIfOn(in *form) {
	on := false
	if in.boolean("enabled", &on); on {
		in.fail(invalidRequest(in.path("enabled"), "", "The sandbox's portal does not have "+in.name+"."))
	}
}

func (f *Fake) getPortalConfiguration(c *call) (any, *apiError) {
	if bad := c.form.done(); bad != nil {
		return nil, bad
	}
	p, ok := f.portalConfiguration(c.id)
	if !ok {
		return nil, noSuch("configuration", "configuration", c.id)
	}
	return p, nil
}

func (f *Fake) listPortalConfigurations(c *call) (any, *apiError) {
	page := c.form.cursor()
	_, byActive := c.form.values["active"]
	_, byDefault := c.form.values["is_default"]
	var active, standard bool
	c.form.boolean("active", &active)
	c.form.boolean("is_default", &standard)
	if bad := c.form.done(); bad != nil {
		return nil, bad
	}
	return asAny(paginate(f.portalConfigs, page, "configuration", "/v1/billing_portal/configurations", func(p PortalConfiguration) string { return p.ID },
		func(p PortalConfiguration) bool {
			return (!byActive || p.Active == active) && (!byDefault || p.IsDefault == standard)
		}))
}
