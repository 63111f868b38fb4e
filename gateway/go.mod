module github.com/trivet-dev/trivet/gateway

go 1.26.0
