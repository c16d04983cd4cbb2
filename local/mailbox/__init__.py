"""The laptop's mail server: accepts every mail over SMTP, keeps it as a file, shows it on a web page; delivers nothing."""
