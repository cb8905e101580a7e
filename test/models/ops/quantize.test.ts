import { describeGradients } from '#test/support/describe-gradients.ts';
import { quantizeCases } from './cases/quantize.ts';

describeGradients('quantize', quantizeCases);
