"""`sluice doctor`: looks at what a tunnel needs. Each part yields findings; nothing here changes anything."""
