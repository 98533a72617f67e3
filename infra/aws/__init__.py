"""What a stage consists of on AWS, and how Chalice deploys it."""
