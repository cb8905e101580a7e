import { describeGradients } from '#test/support/describe-gradients.ts';
import { activationCases } from './cases/activations.ts';

describeGradients('activations', activationCases);
