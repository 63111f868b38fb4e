module github.com/trivet-dev/trivet/services/billing

go 1.26.0
