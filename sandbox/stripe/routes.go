package stripe

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
)

// routes is the place where a new resource is added.
func (f *Fake) routes() *http.ServeMux {
	mux := http.NewServeMux()
	for _, group := range []map[string]endpoint{f.catalogRoutes(), f.paymentRoutes(), f.billingRoutes(), f.meterRoutes()} {
		for pattern, e := range group {
			mux.Handle(pattern, objectsOnly(f.serve(e)))
		}
	}
	mux.HandleFunc("/", unknownURL)
	return mux
}

// subResources are paths of Stripe's API that the sandbox lacks and that look like an identifier.
var subResources = []string{"search", "upcoming", "preview"}

// idPrefixes begin the identifiers that Stripe gives.
var idPrefixes = []string{
	"acct", "ba", "bpc", "bps", "card", "ch", "clock", "cn", "cs", "cus", "dp", "du", "evt", "ii", "il", "in", "li", "mtr", "pi", "plan", "pm", "price", "prod", "promo", "py",
	"pyr", "re", "seti", "si", "src", "sub", "sub_sched", "txn",
}

var words = regexp.MustCompile(`^[a-z]+(_[a-z]+)+$`)

// objectsOnly answers that the URL is unknown when a path has a sub-resource where an identifier belongs: create_preview
// is not a missing invoice. It takes words that are joined by "_" and lack an identifier's prefix for sub-resources,
// except for products and coupons, whose identifiers callers choose.
func objectsOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := r.PathValue("id")
		prefix, _, _ := strings.Cut(id, "_")
		chosen := strings.HasPrefix(r.URL.Path, "/v1/products/") || strings.HasPrefix(r.URL.Path, "/v1/coupons/")
		if slices.Contains(subResources, id) || !chosen && words.MatchString(id) && !slices.Contains(idPrefixes, prefix) {
			unknownURL(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (f *Fake) catalogRoutes() map[string]endpoint {
	return map[string]endpoint{
		"POST /v1/customers":                             f.createCustomer,
		"GET /v1/customers":                              f.listCustomers,
		"GET /v1/customers/{id}":                         f.getCustomer,
		"POST /v1/customers/{id}":                        f.updateCustomer,
		"DELETE /v1/customers/{id}":                      f.deleteCustomer,
		"GET /v1/customers/{id}/payment_methods":         f.listPaymentMethods,
		"GET /v1/customers/{id}/subscriptions":           f.listSubscriptions,
		"POST /v1/customers/{id}/tax_ids":                f.createTaxID,
		"GET /v1/customers/{id}/tax_ids":                 f.listTaxIDs,
		"POST /v1/coupons":                               f.createCoupon,
		"GET /v1/coupons":                                f.listCoupons,
		"GET /v1/coupons/{id}":                           f.getCoupon,
		"DELETE /v1/coupons/{id}":                        f.deleteCoupon,
		"POST /v1/promotion_codes":                       f.createPromotionCode,
		"GET /v1/promotion_codes":                        f.listPromotionCodes,
		"GET /v1/promotion_codes/{id}":                   f.getPromotionCode,
		"POST /v1/promotion_codes/{id}":                  f.updatePromotionCode,
		"POST /v1/products":                              f.createProduct,
		"GET /v1/products":                               f.listProducts,
		"GET /v1/products/{id}":                          f.getProduct,
		"POST /v1/products/{id}":                         f.updateProduct,
		"DELETE /v1/products/{id}":                       f.deleteProduct,
		"POST /v1/prices":                                f.createPrice,
		"GET /v1/prices":                                 f.listPrices,
		"GET /v1/prices/{id}":                            f.getPrice,
		"POST /v1/prices/{id}":                           f.updatePrice,
		"GET /v1/events":                                 f.listEvents,
		"GET /v1/events/{id}":                            f.getEvent,
		"GET /v1/account":                                f.getAccount,
		"GET /v1/balance":                                f.getBalance,
		"POST /v1/test_helpers/test_clocks":              f.createClock,
		"GET /v1/test_helpers/test_clocks":               f.listClocks,
		"GET /v1/test_helpers/test_clocks/{id}":          f.getClock,
		"DELETE /v1/test_helpers/test_clocks/{id}":       f.deleteClock,
		"POST /v1/test_helpers/test_clocks/{id}/advance": f.advanceClock,
	}
}

func (f *Fake) paymentRoutes() map[string]endpoint {
	return map[string]endpoint{
		"POST /v1/payment_methods":              f.createPaymentMethod,
		"GET /v1/payment_methods":               f.listPaymentMethods,
		"GET /v1/payment_methods/{id}":          f.getPaymentMethod,
		"POST /v1/payment_methods/{id}":         f.updatePaymentMethod,
		"POST /v1/payment_methods/{id}/attach":  f.attachPaymentMethod,
		"POST /v1/payment_methods/{id}/detach":  f.detachPaymentMethod,
		"POST /v1/payment_intents":              f.createIntent,
		"GET /v1/payment_intents":               f.listIntents,
		"GET /v1/payment_intents/{id}":          f.getIntent,
		"POST /v1/payment_intents/{id}":         f.updateIntent,
		"POST /v1/payment_intents/{id}/confirm": f.confirmIntent,
		"POST /v1/payment_intents/{id}/cancel":  f.cancelIntent,
		"GET /v1/setup_intents":                 f.listSetupIntents,
		"GET /v1/setup_intents/{id}":            f.getSetupIntent,
		"GET /v1/charges":                       f.listCharges,
		"GET /v1/charges/{id}":                  f.getCharge,
		"POST /v1/charges/{id}":                 f.updateCharge,
		"POST /v1/refunds":                      f.createRefund,
		"GET /v1/refunds":                       f.listRefunds,
		"GET /v1/refunds/{id}":                  f.getRefund,
		"POST /v1/refunds/{id}":                 f.updateRefund,
		"GET /v1/disputes":                      f.listDisputes,
		"GET /v1/disputes/{id}":                 f.getDispute,
		"POST /v1/disputes/{id}":                f.updateDispute,
		"POST /v1/disputes/{id}/close":          f.closeDispute,
	}
}

func (f *Fake) billingRoutes() map[string]endpoint {
	return map[string]endpoint{
		"POST /v1/subscriptions":                       f.createSubscription,
		"GET /v1/subscriptions":                        f.listSubscriptions,
		"GET /v1/subscriptions/{id}":                   f.getSubscription,
		"POST /v1/subscriptions/{id}":                  f.updateSubscription,
		"DELETE /v1/subscriptions/{id}":                f.cancelSubscription,
		"DELETE /v1/subscriptions/{id}/discount":       f.deleteDiscount,
		"POST /v1/subscriptions/{id}/resume":           f.resumeSubscription,
		"POST /v1/subscription_schedules":              f.createSchedule,
		"GET /v1/subscription_schedules":               f.listSchedules,
		"GET /v1/subscription_schedules/{id}":          f.getSchedule,
		"POST /v1/subscription_schedules/{id}":         f.updateSchedule,
		"POST /v1/subscription_schedules/{id}/release": f.releaseSchedule,
		"GET /v1/subscription_items":                   f.listSubscriptionItems,
		"POST /v1/invoices":                            f.createInvoice,
		"GET /v1/invoices":                             f.listInvoices,
		"GET /v1/invoices/upcoming":                    f.upcomingInvoice,
		"GET /v1/invoices/{id}":                        f.getInvoice,
		"POST /v1/invoices/{id}":                       f.updateInvoice,
		"DELETE /v1/invoices/{id}":                     f.deleteInvoice,
		"GET /v1/invoices/{id}/lines":                  f.listInvoiceLines,
		"POST /v1/invoices/{id}/finalize":              f.finalizeInvoice,
		"POST /v1/invoices/{id}/pay":                   f.payInvoice,
		"POST /v1/invoices/{id}/void":                  f.voidInvoice,
		"POST /v1/invoices/{id}/mark_uncollectible":    f.markUncollectible,
		"POST /v1/invoices/{id}/send":                  f.sendInvoice,
		"POST /v1/credit_notes":                        f.createCreditNote,
		"GET /v1/credit_notes":                         f.listCreditNotes,
		"GET /v1/credit_notes/{id}":                    f.getCreditNote,
		"GET /v1/credit_notes/{id}/lines":              f.listCreditNoteLines,
		"POST /v1/credit_notes/{id}/void":              f.voidCreditNote,
		"POST /v1/invoiceitems":                        f.createInvoiceItem,
		"GET /v1/invoiceitems":                         f.listInvoiceItems,
		"GET /v1/invoiceitems/{id}":                    f.getInvoiceItem,
		"DELETE /v1/invoiceitems/{id}":                 f.deleteInvoiceItem,
		"POST /v1/checkout/sessions":                   f.createCheckout,
		"GET /v1/checkout/sessions":                    f.listCheckouts,
		"GET /v1/checkout/sessions/{id}":               f.getCheckout,
		"POST /v1/checkout/sessions/{id}/expire":       f.expireCheckout,
		"GET /v1/checkout/sessions/{id}/line_items":    f.listCheckoutLines,
		"POST /v1/billing_portal/sessions":             f.createPortal,
		"POST /v1/billing_portal/configurations":       f.createPortalConfiguration,
		"GET /v1/billing_portal/configurations":        f.listPortalConfigurations,
		"GET /v1/billing_portal/configurations/{id}":   f.getPortalConfiguration,
		"POST /v1/billing_portal/configurations/{id}":  f.updatePortalConfiguration,
	}
}

func (f *Fake) meterRoutes() map[string]endpoint {
	return map[string]endpoint{
		"POST /v1/billing/meters":                     f.createMeter,
		"GET /v1/billing/meters":                      f.listMeters,
		"GET /v1/billing/meters/{id}":                 f.getMeter,
		"POST /v1/billing/meters/{id}":                f.updateMeter,
		"POST /v1/billing/meters/{id}/deactivate":     f.deactivateMeter,
		"POST /v1/billing/meters/{id}/reactivate":     f.reactivateMeter,
		"GET /v1/billing/meters/{id}/event_summaries": f.listSummaries,
		"POST /v1/billing/meter_events":               f.createMeterEvent,
		"POST /v1/billing/meter_event_adjustments":    f.createAdjustment,
	}
}
