package stripe

import (
	sdk "github.com/stripe/stripe-go/v76"
)

// carried is a phase with all that another one has, except for its time. Stripe gives a phase only what is sent: what is left out, such as a
// discount or the metered item of usage, is lost.
func carried(from *sdk.SubscriptionSchedulePhase) *sdk.SubscriptionSchedulePhaseParams {
	to := &sdk.SubscriptionSchedulePhaseParams{Metadata: from.Metadata, ProrationBehavior: sdk.String("none")}
	if from.AutomaticTax != nil {
		to.AutomaticTax = &sdk.SubscriptionSchedulePhaseAutomaticTaxParams{Enabled: sdk.Bool(from.AutomaticTax.Enabled)}
	}
	if from.BillingThresholds != nil {
		to.BillingThresholds = &sdk.SubscriptionBillingThresholdsParams{
			AmountGTE: sdk.Int64(from.BillingThresholds.AmountGTE), ResetBillingCycleAnchor: sdk.Bool(from.BillingThresholds.ResetBillingCycleAnchor),
		}
	}
	if from.CollectionMethod != nil {
		to.CollectionMethod = sdk.String(string(*from.CollectionMethod))
	}
	if from.DefaultPaymentMethod != nil {
		to.DefaultPaymentMethod = sdk.String(from.DefaultPaymentMethod.ID)
	}
	if from.Description != "" {
		to.Description = sdk.String(from.Description)
	}
	if settings := from.InvoiceSettings; settings != nil && settings.DaysUntilDue > 0 {
		to.InvoiceSettings = &sdk.SubscriptionSchedulePhaseInvoiceSettingsParams{DaysUntilDue: sdk.Int64(settings.DaysUntilDue)}
	}
	for _, rate := range from.DefaultTaxRates {
		to.DefaultTaxRates = append(to.DefaultTaxRates, sdk.String(rate.ID))
	}
	for _, d := range from.Discounts {
		to.Discounts = append(to.Discounts, &sdk.SubscriptionSchedulePhaseDiscountParams{Coupon: couponOf(d), Discount: idOf(d), PromotionCode: codeOf(d)})
	}
	if len(from.Discounts) == 0 && from.Coupon != nil {
		to.Coupon = sdk.String(from.Coupon.ID)
	}
	for _, item := range from.Items {
		to.Items = append(to.Items, carriedItem(item))
	}
	return to
}

// itemsNow are the items that a subscription has now, with what a phase has for their prices.
func itemsNow(sub *sdk.Subscription, phase *sdk.SubscriptionSchedulePhase) (items []*sdk.SubscriptionSchedulePhaseItem) {
	for _, have := range sub.Items.Data {
		item := &sdk.SubscriptionSchedulePhaseItem{Price: have.Price, Metadata: have.Metadata, BillingThresholds: have.BillingThresholds, TaxRates: have.TaxRates}
		for _, d := range have.Discounts {
			item.Discounts = append(item.Discounts, &sdk.SubscriptionSchedulePhaseItemDiscount{Discount: d})
		}
		for _, planned := range phase.Items {
			if planned.Price.ID == have.Price.ID {
				*item = *planned
			}
		}
		item.Quantity = have.Quantity
		items = append(items, item)
	}
	return items
}

func carriedItem(from *sdk.SubscriptionSchedulePhaseItem) *sdk.SubscriptionSchedulePhaseItemParams {
	to := &sdk.SubscriptionSchedulePhaseItemParams{Price: sdk.String(from.Price.ID), Metadata: from.Metadata}
	if from.Quantity > 0 { // a metered item has none
		to.Quantity = sdk.Int64(from.Quantity)
	}
	if from.BillingThresholds != nil {
		to.BillingThresholds = &sdk.SubscriptionItemBillingThresholdsParams{UsageGTE: sdk.Int64(from.BillingThresholds.UsageGTE)}
	}
	for _, rate := range from.TaxRates {
		to.TaxRates = append(to.TaxRates, sdk.String(rate.ID))
	}
	for _, d := range from.Discounts {
		one := &sdk.SubscriptionSchedulePhaseDiscount{Coupon: d.Coupon, Discount: d.Discount, PromotionCode: d.PromotionCode}
		to.Discounts = append(to.Discounts, &sdk.SubscriptionSchedulePhaseItemDiscountParams{Coupon: couponOf(one), Discount: idOf(one), PromotionCode: codeOf(one)})
	}
	return to
}

// idOf, codeOf and couponOf name a discount once: by itself, so that its time continues, or else by what it was redeemed for.
func idOf(d *sdk.SubscriptionSchedulePhaseDiscount) *string {
	if d.Discount == nil {
		return nil
	}
	return sdk.String(d.Discount.ID)
}

func codeOf(d *sdk.SubscriptionSchedulePhaseDiscount) *string {
	if d.Discount != nil || d.PromotionCode == nil {
		return nil
	}
	return sdk.String(d.PromotionCode.ID)
}

func couponOf(d *sdk.SubscriptionSchedulePhaseDiscount) *string {
	if d.Discount != nil || d.PromotionCode != nil || d.Coupon == nil {
		return nil
	}
	return sdk.String(d.Coupon.ID)
}
