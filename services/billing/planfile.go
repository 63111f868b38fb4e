package billing

import (
	"github.com/trivet-dev/trivet/platform/models"
	"github.com/trivet-dev/trivet/services/billing/internal/plans"
)

// CheckPlans checks a plan file without a service. The error joins every mistake, each with its line.
func CheckPlans(data []byte, prices *models.List) error {
	_, err := plans.Parse(data, modelIDs(prices))
	return err
}
