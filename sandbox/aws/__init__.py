"""The embedded AWS: moto, with SageMaker, ECR and other services made strict in front of it."""
