module github.com/trivet-dev/trivet/services/ai

go 1.26.0
