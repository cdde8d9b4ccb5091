module portcullis/oracle

go 1.21
